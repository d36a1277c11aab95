"""Commands without a network: in a network namespace of their own where that is permitted, and with Python's guarded.

    done = run_offline(tmp_path, "utils/demo.py", "--work_dir", ...)
    assert done.attempts == ""
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Python runs it at its start, in a command's worker processes too.
GUARD = """
import sys, traceback

def no_network(event, arguments):
    away = event == "socket.getaddrinfo" or event in ("socket.connect", "socket.sendto") and arguments[0].family != 1
    if away:
        with open({attempts!r}, "a") as file:
            file.write(f"{{event}} {{arguments[1:]}}\\n")
            traceback.print_stack(file=file)
        raise OSError(101, "Network is unreachable")

sys.addaudithook(no_network)
"""


@dataclass(frozen=True)
class Offline:
    """How a command ended, the files that it left in its home folder, and what its Python code tried on the network."""

    code: int
    output: str
    home: list[str]
    attempts: str


def own_network() -> list[str]:
    """The words before a command that leave it no network; none where this machine permits no namespaces."""
    words = ["unshare", "--map-root-user", "--net"]
    try:
        permitted = subprocess.run([*words, "true"], capture_output=True).returncode == 0
    except OSError:
        permitted = False
    return words if permitted else []


def run_offline(folder: Path, *words, **environment) -> Offline:
    """Run a Python command with an empty home folder and without a network."""
    home, guard, attempts = folder / "home", folder / "guard", folder / "attempts.txt"
    home.mkdir(parents=True)
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD.format(attempts=str(attempts)))
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("XDG_") and not name.lower().endswith("_proxy")
            and name not in ("ORT_DISABLE_TELEMETRY", "TORCH_HOME")}
    done = subprocess.run([*own_network(), sys.executable, *map(str, words)], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=kept | {"HOME": str(home), "PYTHONPATH": str(guard)} | environment)
    return Offline(done.returncode, done.stdout,
                   sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()),
                   attempts.read_text() if attempts.exists() else "")
