"""The weights that `--weights default` stands for: made here by `make weights`, or fetched once from a release.

    path = default_weights()

AVTNET_WEIGHTS holds a release's address with the file's SHA-256, `https://.../avt_dist.pth#sha256=<64 digits>`; where
it is set, it wins over a file made here.
"""

import os
import re
from pathlib import Path

from datatools.downloads import fetch
from datatools.errors import UserError
from datatools.numbers import shortened

FILE = "avt_dist.pth"
MOST_BYTES = 4_000_000
FOLDER = Path(__file__).resolve().parents[1] / "work_dir" / "weights"
VARIABLE = "AVTNET_WEIGHTS"
RELEASE = ""       # the address of the newest release, in the form of AVTNET_WEIGHTS; empty until there is one
FORM = re.compile(r"(?P<url>(https|http|file)://\S+)#sha256=(?P<digest>[0-9a-f]{64})")


def or_default(weights: Path | None) -> Path | None:
    """A path of weights; the default weights' for the word `default`, unless a file is called so. Raises UserError."""
    return default_weights() if weights == Path("default") and not weights.exists() else weights


def default_weights() -> Path:
    """The file of the default weights, fetched if need be. Raises UserError where there is none."""
    asked, made = os.environ.get(VARIABLE, ""), FOLDER / FILE
    if not asked and made.exists():
        return made
    if not (asked or RELEASE):
        raise UserError(f"--weights default: no {made}, and no release is known. Run `make weights`, which trains "
                        f"them on made clips, or set {VARIABLE} to a file's address, https://...#sha256=<64 digits>.")
    found = FORM.fullmatch(asked or RELEASE)
    if found is None:
        raise UserError(f"{VARIABLE}: found {shortened(asked or RELEASE)}, expected "
                        "https://.../avt_dist.pth#sha256=<64 hexadecimal digits>.")
    target = FOLDER / f"{found['digest'][:16]}_{FILE}"      # by its content, so that releases do not mix
    if not target.exists():
        fetch(found["url"], found["digest"], target, "Run `make weights`, or name a file with --weights.")
    return target
