"""The notebook runs from its first to its last cell, on a few clips."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = Path("notebooks/timesformer.ipynb")
FILES = ("timesformer_main.py", "models", "datatools", "utils", "synth", "notebooks")
SMALL = ('scenes, test_scenes, epochs, gpus = 2, 1, 2, "cpu"\n'
         'sizes = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2}')


def read_notebook() -> NotebookNode:
    return nbformat.read(ROOT / NOTEBOOK, nbformat.NO_CONVERT)


def made_small(notebook: NotebookNode) -> NotebookNode:
    """The notebook with a cell of small values behind that of the parameters; no cell of its own is changed."""
    place, = (index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(SMALL))
    return notebook


def run(notebook: NotebookNode, folder: Path, home: Path) -> NotebookNode:
    """Run a notebook with `folder` as its working directory; what it leaves elsewhere lies below `home`.

    Raises CellExecutionError.
    """
    (home / "tmp").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(home / "tmp"))
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):      # no settings or kernels of the user
            patch.setenv(name, str(home / name.lower()))
        return NotebookClient(notebook, timeout=300, kernel_name="python3",
                              resources={"metadata": {"path": str(folder)}}).execute()


def pictures_of(notebook: NotebookNode) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) for cell in notebook.cells
            for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]


def text_of(notebook: NotebookNode) -> str:
    return "".join(output.text for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with `project`, a copy of what the notebook needs."""
    place = tmp_path_factory.mktemp("notebook")
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (place / "project").mkdir(exist_ok=True)
        copy(ROOT / name, place / "project" / name)
    return place


@pytest.fixture(scope="module")
def executed(place) -> NotebookNode:
    return run(made_small(read_notebook()), place / "project/notebooks", place / "home")


def test_the_notebook_shows_every_picture(executed):
    shown = pictures_of(executed)
    assert len(shown) == 4      # curves, two confusion matrices, attention
    for picture in shown:
        least, most = picture.convert("L").getextrema()
        assert picture.width > 400 and most - least > 100


def test_the_notebook_tells_every_figure(executed):
    text = text_of(executed)
    assert re.search(r"^epoch +1 \| train [\d.]+ \| val top-1 [\d.]+ %", text, re.MULTILINE)
    results, = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
    assert (results["videos"], results["views"], results["crops"], results["split"]) == (8, 3, 1, "test")
    best, = re.findall(r"^\S+_growing\.mp4: (.+)$", text, re.MULTILINE)
    assert len(re.findall(r"[a-z ]+ [\d.]+%", best)) == 5


def test_every_cell_ran_without_an_error(executed):
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert "Traceback" not in text_of(executed)


def test_the_notebook_leaves_nothing_behind(executed, place):
    assert not list((place / "home/tmp").glob("timesformer_*"))
    files = {path.relative_to(place / "project") for path in (place / "project").rglob("*")
             if path.is_file() and path.suffix != ".pyc"}
    assert not [path for path in files if not (ROOT / path).is_file()]


def first_cells(number: int) -> NotebookNode:
    notebook = read_notebook()
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:number]
    return notebook


def test_the_notebook_finds_the_project_from_its_root(place, tmp_path):
    notebook = first_cells(2)
    notebook.cells.append(nbformat.v4.new_code_cell("print(root)"))
    assert text_of(run(notebook, place / "project", tmp_path)).strip() == str(place / "project")


def test_a_cell_that_fails_stops_the_notebook(tmp_path):
    """Here the one that looks for the project, in a folder outside of it."""
    with pytest.raises(CellExecutionError, match="not within the project. Open the notebook where it lies"):
        run(first_cells(3), tmp_path, tmp_path / "home")


def test_the_kept_notebook_holds_no_outputs():
    cells = [cell for cell in read_notebook().cells if cell.cell_type == "code"]
    assert len(cells) > 5 and not any(cell.outputs or cell.execution_count for cell in cells)
