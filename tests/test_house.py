"""Who may import whom, how long a function may be, and how fast a command answers."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Which of our packages each one may import, beside itself.
ALLOWED = {"models": set(), "datatools": set(), "synth": {"datatools"}, "fuse": {"datatools"}, "utils": {"datatools"},
           "episodes": {"datatools", "utils"}}
FREE = ("benchmarks", "tools")      # may import anything
COMMANDS = [
    "avt_main.py", "avt_normal_main.py", "avt_yolt_main.py", "avt_dist_main.py", "timesformer_main.py",
    "actionclip_main.py",
    "fuse/fuse.py", "synth/make.py", "synth/make_actions.py",
    "synth/make_episodes.py",
    "datatools/text_extract.py", "datatools/preprocess.py", "utils/extract_audio.py", "utils/extract_video.py",
    "utils/extract_textROI.py", "utils/demo.py", "utils/evaluate.py", "tools/make_lists.py", "tools/extract_frames.py",
    "tools/run_net.py", "tools/encode.py", "tools/run_actionclip.py", "tools/make_weights.py",
    "tools/learn_joining.py", "visualize.py",
    "visualize_predictions.py",
    "batch_visualize_test.py", "locate.py",
]
MOST_LINES, MOST_PARAMETERS = 60, 7      # of a function; a network's sizes do not count
HEAVY = ("torch", "librosa", "av", "cv2", "easyocr", "rapidocr", "pandas", "matplotlib", "numpy", "sklearn", "scipy")


def files_of(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def own_imports(tree: ast.AST) -> list[ast.ImportFrom | ast.Import]:
    """The import statements of our own packages in a piece of code."""
    found = []
    for node in ast.walk(tree):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else \
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if any(module.split(".")[0] in (*ALLOWED, *FREE) for module in modules):
            found.append(node)
    return found


def imported_modules(path: Path) -> set[str]:
    """The modules of ours that a file imports, as `room.module`."""
    modules = set()
    for node in own_imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        else:
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}      # `from utils import fit`
    return modules


def functions(path: Path) -> list[tuple[str, ast.FunctionDef]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node) for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room):
    assert files_of(room)
    for path in files_of(room):
        rooms = {module.split(".")[0] for module in imported_modules(path)} & {*ALLOWED, *FREE}
        assert rooms <= ALLOWED[room] | {room}, path


def test_imports_of_ours_stand_at_the_top_of_a_file():
    """But for a command's `main`, which imports late so that --help is instant."""
    late = [name for path in [*files_of(*ALLOWED, *FREE), *ROOT.glob("*_main.py")]
            for name, node in functions(path) if own_imports(node) and node.name != "main"]
    assert not late


def test_no_modules_import_each_other_in_a_circle():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
               for path in files_of(*ALLOWED)}
    imports = {name: imported_modules(path) & modules.keys() - {name} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " imports ".join([*way[way.index(name):], name])
        if name not in done:
            for other in sorted(imports[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def test_every_name_that_is_imported_from_a_module_of_ours_is_there():
    for path in files_of(*ALLOWED, *FREE):
        for node in own_imports(ast.parse(path.read_text(encoding="utf-8"))):
            place = ROOT / f"{node.module.replace('.', '/')}.py" if isinstance(node, ast.ImportFrom) else None
            if place and place.is_file():
                text = place.read_text(encoding="utf-8")
                missing = [alias.name for alias in node.names if not re.search(rf"\b{alias.name}\b", text)]
                assert not missing, f"{path}: {missing}"


def test_a_function_can_be_read_at_once():
    """At most 60 lines and 7 parameters, outside synth; a network's __init__ takes its sizes."""
    rooms = [room for room in ALLOWED if room != "synth"]
    long = []
    for path in [*files_of(*rooms, *FREE), *ROOT.glob("*_main.py")]:
        for name, node in functions(path):
            lines = node.end_lineno - node.lineno + 1
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            parameters = len([name for name in names if name not in ("self", "cls", "ctx")])
            sizes = node.name == "__init__" and "models" in path.parts
            if lines > MOST_LINES or (parameters > MOST_PARAMETERS and not sizes):
                long.append(f"{name}: {lines} lines, {parameters} parameters")
    assert not long


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_loading_the_heavy_libraries(command):
    code = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r}); sys.argv = [{command!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / command)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('loaded:', sorted({set(HEAVY)} & set(sys.modules)))\n"
    )
    started = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "loaded: []" in result.stdout
    assert "usage:" in result.stdout
    assert time.perf_counter() - started < 20   # no hang; the cause of slowness, heavy imports, is tested above


@pytest.mark.parametrize("command", [name for name in COMMANDS if name.startswith("avt_")])
def test_help_shows_the_docstrings_command_lines_as_they_are_typed(command):
    result = subprocess.run([sys.executable, command, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert f"    python {command} --data_root data/processed --save_prefix" in result.stdout
    assert " \\\n        --weights" in result.stdout
