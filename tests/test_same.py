"""What earlier versions left is still read, and gone on with: checkpoints of tests/same/."""

import json
from pathlib import Path

import pytest

import avt_dist_main
import avt_main
from utils.checkpoint import load_checkpoint
from utils.run_folder import read_records

pytestmark = pytest.mark.usefixtures("no_pictures")

SAME = Path(__file__).parent / "same"
SCRIPTS = {"avt": avt_main, "avt_dist": avt_dist_main}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_training_of_an_earlier_version_goes_on_as_it_would_have_then(shared_processed, tmp_path, name):
    """Stopped in its second epoch by the version before the rebuild, which then noted how it went on."""
    assert load_checkpoint(SAME / f"{name}.pth")["position"]["epoch"] == 1
    argv = ["--preset", SAME / f"{name}.yaml", "--data_root", shared_processed, "--save_prefix", tmp_path / "run",
            "--resume", SAME / f"{name}.pth"]
    assert SCRIPTS[name].main(list(map(str, argv))) == 0
    expected = json.loads((SAME / "expected.json").read_text())[name]
    for key, values in expected.items():      # processors differ in their last bits
        assert [record[key] for record in read_records(tmp_path / "run")] == pytest.approx(values[1:], rel=1e-3)
    assert "the data is not what" not in (tmp_path / "run/log.txt").read_text(encoding="utf-8")
