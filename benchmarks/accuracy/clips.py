"""The clips of the accuracy benchmark: training clips of some families, test seasons of all, and damaged copies.

Each training clip comes from a series of its own; half of them have a hard case. A test family consists of seasons of a
few episodes, each episode with a start and an end clip. Two of five seasons have short or long themes, the last episode
of every second season has another opening and ending, and single episodes have the other hard cases. Families share no
fonts, palettes, instruments, sound textures, cutting rhythm or style of credits (synth/).
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg

from datatools.errors import UserError
from datatools.files import check_writable, save_text, write_atomic
from datatools.stages import Pool, run_stage
from synth.plan import CASES, FAMILIES, ClipPlan, plan_clip
from synth.render import render_clip

SEASON_CASES = ("short", "long")                  # cases of a theme, and so of all episodes of its season
CLIP_CASES = ("cold_open", "no_credits", "song", "sponsor")
EPISODES = 4                                      # of a season
# ffmpeg's filters and settings; the last figure is the length of a copy as a share of the original's.
DAMAGES = {
    "low bit rate": (["-b:v", "{tenth}", "-maxrate", "{tenth}", "-bufsize", "{tenth}", "-b:a", "24k"], 1.0),
    "160x90": (["-vf", "scale=160:90", "-crf", "26"], 1.0),
    "8 kHz mono": (["-ar", "8000", "-ac", "1", "-c:v", "copy"], 1.0),
    "logo": (["-vf", "drawbox=x=iw*0.84:y=ih*0.05:w=iw*0.12:h=ih*0.1:color=white@0.7:t=fill,"
              "drawbox=x=iw*0.86:y=ih*0.07:w=iw*0.05:h=ih*0.06:color=red@0.8:t=fill"], 1.0),
    "4% faster": (["-vf", "setpts=PTS/1.04", "-af", "asetrate={rate}*1.04,aresample={rate}"], 1.04),
}


@dataclass(frozen=True)
class Sizes:
    """Numbers: clips of each training family, seasons of each test family, and clips of each kind of damage."""

    train: int = 96
    seasons: int = 4
    damaged: int = 12
    height: int = 180
    duration: float | None = None


def folder_of(family: str) -> str:
    return f"test_{family}"


def train_folder(family: str) -> str:
    return f"train_{family}"


def train_labels(family: str) -> str:
    return f"{train_folder(family)}/labels.csv"


def damage_folder(family: str, damage: str) -> str:
    return f"damaged_{family}_{damage.replace('%', '').replace(' ', '_')}"


def train_plans(families: tuple[str, ...], sizes: Sizes, seed: int) -> list[ClipPlan]:
    """Clips of the training families; start and end clips alternate, and every second pair has a hard case."""
    plans = []
    for family in families:
        for i in range(sizes.train):
            case = CASES[i // 4 % len(CASES)] if i // 2 % 2 else ""
            plans.append(plan_clip(seed, i, "se"[i % 2], height=sizes.height, duration=sizes.duration, family=family,
                                   case=case))
    return plans


def test_plans(family: str, sizes: Sizes, seed: int) -> list[ClipPlan]:
    """Seasons of EPISODES episodes, a start and an end clip of each."""
    plans = []
    for season in range(sizes.seasons):
        whole = SEASON_CASES[season % 5] if season % 5 < len(SEASON_CASES) else ""
        for episode in range(EPISODES):
            index = 10_000 + season * EPISODES + episode
            theme = int(season % 2 == 1 and episode == EPISODES - 1)
            case = whole or ("" if episode % 2 else CLIP_CASES[(2 * season + episode // 2) % len(CLIP_CASES)])
            for kind in "se":
                plans.append(plan_clip(seed, index, kind, height=sizes.height, duration=sizes.duration, family=family,
                                       season=1_000 * (seed + 1) + season, theme=theme, case=case))
    return plans


def make_clips(root: Path, families: tuple[str, ...], sizes: Sizes, seed: int, workers: int = 0) -> dict[str, list]:
    """Make the missing training clips of `families` and test clips of all below `root`; returns {folder: plans}.

    A family's clips do not depend on `families`, so trainings that leave each one out in turn share them. Raises
    UserError where a clip fails.
    """
    unknown = [family for family in families if family not in FAMILIES]
    if unknown:
        raise UserError(f"family {unknown[0]!r}: expected {', '.join(FAMILIES)}.")
    plans = {train_folder(family): train_plans((family,), sizes, seed) for family in FAMILIES}
    plans |= {folder_of(family): test_plans(family, sizes, seed) for family in FAMILIES}
    facts = {p.name: {"family": p.family, "season": p.season, "theme": p.theme, "case": p.case, "kind": p.kind,
                      "seconds": p.boundary} for clips in plans.values() for p in clips}
    check_same_clips(root, facts)
    plans = {folder: clips for folder, clips in plans.items()
             if folder not in map(train_folder, FAMILIES) or clips[0].family in families}
    jobs = []
    for folder, clips in plans.items():
        check_writable(root / folder)
        paths = {p.name: root / folder / f"{p.name}.mp4" for p in clips}
        jobs += [(p.name, (p, paths[p.name])) for p in clips if not paths[p.name].exists()]
    report = run_stage("made clips", render_clip, jobs, pool=Pool(workers))
    if report.failed:
        raise UserError(f"{root}: {len(report.failed)} clips could not be made, see above.")
    for folder, clips in plans.items():
        labels = "labels.csv" if folder in map(train_folder, FAMILIES) else "truth.csv"
        save_text(root / folder / labels, "name,seconds\n" + "".join(f"{p.name},{p.boundary!r}\n" for p in clips))
    return plans


def check_same_clips(root: Path, facts: dict[str, dict]) -> None:
    """Write clips.json. Raises UserError where `root` holds other clips, or clips of another plan."""
    path = root / "clips.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in {**before, **facts} if before.get(name) != facts.get(name)]
        if other:
            raise UserError(f"{path}: {len(other)} clips ({other[0]}, ...) were planned otherwise, by other "
                            "numbers of clips or another version; what was learnt from them would not fit. Choose "
                            "another --work_dir, or remove this one.")
    check_writable(root)
    save_text(path, json.dumps(facts, indent=1) + "\n")


def make_damaged(root: Path, family: str, plans: list[ClipPlan], count: int) -> list[str]:
    """Copy `count` test clips of a family with each kind of damage; returns the folders relative to `root`."""
    chosen = clips_to_damage(plans, count)
    jobs = []
    for damage, (_, factor) in DAMAGES.items():
        folder = damage_folder(family, damage)
        check_writable(root / folder)
        truth = {p: f"{damage_name(p.name, damage)}" for p in chosen}
        jobs += [(name, (root / folder_of(family) / f"{p.name}.mp4", path, damage)) for p, name in truth.items()
                 if not (path := root / folder / f"{name}.mp4").exists()]
        save_text(root / folder / "truth.csv", "name,seconds\n" + "".join(
            f"{name},{p.boundary / factor!r}\n" for p, name in truth.items()))
    report = run_stage("damaged copies", damage_clip, jobs)
    if report.failed:
        raise UserError(f"{root}: {len(report.failed)} clips could not be damaged, see above.")
    return [damage_folder(family, damage) for damage in DAMAGES]


def clips_to_damage(plans: list[ClipPlan], count: int) -> list[ClipPlan]:
    """`count` clips spread over the seasons: the start and the end clip of each chosen episode."""
    episodes = [plans[i:i + 2] for i in range(0, len(plans), 2)]
    wanted = (count + 1) // 2
    return [plan for episode in episodes[::max(1, len(episodes) // wanted)][:wanted] for plan in episode][:count]


def damage_name(name: str, damage: str) -> str:
    """The name of a damaged copy, different from its original's: names are unique in a dataset."""
    clip, kind = name.rsplit("_", 1)
    return f"{clip}{list(DAMAGES).index(damage)}_{kind}"


def damage_clip(source: Path, target: Path, damage: str) -> None:
    """Write a damaged copy of `source`, as old archives hold it. Raises ValueError with ffmpeg's last line."""
    with av.open(str(source)) as container:
        rate = container.streams.audio[0].rate
        bits = container.bit_rate
    words, _ = DAMAGES[damage]
    words = [word.format(tenth=max(8_000, bits // 10), rate=rate) for word in words]
    with write_atomic(target) as temporary:
        done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(source), "-preset",
                               "veryfast", *words, str(temporary)], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{source}: ffmpeg: {done.stderr.strip().splitlines()[-1]}")
