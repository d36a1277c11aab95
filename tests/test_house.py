"""Who may import whom, and how fast a command answers."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("models", "datatools", "utils", "fuse", "synth")
ALLOWED = {
    "models": {"models"},
    "datatools": {"datatools"},
    "fuse": {"fuse", "datatools"},
    "synth": {"synth", "datatools"},
    "utils": {"utils", "datatools"},
}
COMMANDS = [
    "avt_main.py", "avt_normal_main.py", "avt_yolt_main.py", "avt_dist_main.py", "fuse/fuse.py", "synth/make.py",
    "datatools/text_extract.py", "utils/extract_audio.py", "utils/extract_video.py", "utils/extract_textROI.py",
    "utils/demo.py", "utils/evaluate.py", "datatools/preprocess.py",
]


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    for path in (ROOT / room).rglob("*.py"):
        assert imported_rooms(path) <= ALLOWED[room], path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_loading_the_heavy_libraries(command):
    code = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r}); sys.argv = [{command!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / command)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'torch', 'librosa', 'av', 'cv2', 'easyocr', 'rapidocr', 'pandas', 'matplotlib', 'numpy'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    started = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "loaded: []" in result.stdout
    assert "usage:" in result.stdout
    assert time.perf_counter() - started < 20   # no hang; the cause of slowness, heavy imports, is tested above
