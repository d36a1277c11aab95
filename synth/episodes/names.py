"""Names of made series and of their files, as people's libraries have them."""

import random

BEGINNINGS = "Ka Mi So Ha Ri To Na Yu Ke Shi Ma Re Ao Ku Te No Hi Sa".split()
MIDDLES = "ra no mi ri ku sa to ga na ze bu ro shi me ki".split()
ENDINGS = "ru ne ya ka ta n ko ra to mi".split()
NOUNS = "Garden River Lantern Harbour Winter Echo Paper Mountain Signal Orchard Feather Station".split()
JOINTS = ("of the", "and the", "no", "in the")
GROUPS = "Harukaze Moonsubs NeonTide Kumo-Raws TeaTime".split()
# Of a file: {s} is its season, {e} its numbers, {v} its version; then what joins two numbers, and how a version reads.
FORMS = (("{title}/Season {s:02}/{title} - S{s:02}E{e}{v} - {words}.mkv", "-E", "v{}"),
         ("{title}/[{group}] {title}{later} - {e}{v} [{height}p].mkv", "-", "v{}"),
         ("{title}/{dotted}.S{s:02}E{e}{v}.{height}p.WEB-DL.AAC2.0.H.264-{group}.mkv", "-E", "v{}"),
         ("{title}/Season {s}/{title} {s}x{e}{v}.mp4", "-", " v{}"))


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

    def episode(self, season: int, numbers: tuple[int, ...], height: int, version: int = 1) -> str:
        """The path, below its library, of a file with one episode or several."""
        form, joint, versions = self.form
        return form.format(
            title=self.title, dotted=self.title.replace(" ", "."), group=self.group, s=season, height=height,
            e=joint.join(f"{number:02}" for number in numbers), v=versions.format(version) if version > 1 else "",
            words=" ".join(self.rng.sample(NOUNS, 2)), later=f" S{season}" if season > 1 else "")

    def movie(self) -> str:
        """The path of a film of the series."""
        return f"{self.title}/{self.title} - The Movie ({self.rng.randint(1995, 2024)}){self.form[0][-4:]}"
