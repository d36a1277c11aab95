"""Names of made series and of their files, as people's libraries have them."""

import random

BEGINNINGS = "Ka Mi So Ha Ri To Na Yu Ke Shi Ma Re Ao Ku Te No Hi Sa".split()
MIDDLES = "ra no mi ri ku sa to ga na ze bu ro shi me ki".split()
ENDINGS = "ru ne ya ka ta n ko ra to mi".split()
NOUNS = "Garden River Lantern Harbour Winter Echo Paper Mountain Signal Orchard Feather Station".split()
JOINTS = ("of the", "and the", "no", "in the")
GROUPS = "Harukaze Moonsubs NeonTide Kumo-Raws TeaTime".split()
# Of a file; {s} is its season, {e} its number.
FORMS = ("{title}/Season {s:02}/{title} - S{s:02}E{e:02} - {words}.mkv",
         "{title}/[{group}] {title}{later} - {e:02} [{height}p].mkv",
         "{title}/{dotted}.S{s:02}E{e:02}.{height}p.WEB-DL.AAC2.0.H.264-{group}.mkv",
         "{title}/Season {s}/{title} {s}x{e:02}.mp4")


class Names:
    """The title of a made series, and how its files are called."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.title = self._title()
        self.form, self.group = rng.choice(FORMS), rng.choice(GROUPS)

    def _title(self) -> str:
        rng = self.rng
        word = rng.choice(BEGINNINGS) + rng.choice(MIDDLES) + rng.choice(ENDINGS)
        return f"{word} {rng.choice(JOINTS)} {rng.choice(NOUNS)}" if rng.random() < 0.7 else word

    def episode(self, season: int, number: int, height: int) -> str:
        """The path of an episode below its library."""
        words = " ".join(self.rng.sample(NOUNS, 2))
        return self.form.format(title=self.title, dotted=self.title.replace(" ", "."), group=self.group, s=season,
                                e=number, height=height, words=words, later=f" S{season}" if season > 1 else "")

    def movie(self) -> str:
        """The path of a film of the series."""
        return f"{self.title}/{self.title} - The Movie ({self.rng.randint(1995, 2024)}){self.form[-4:]}"
