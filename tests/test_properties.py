"""Any text is answered with finite numbers, or refused with one UserError: lists, presets and flags.

Short and always the same here; many more examples in `make soak`.
"""

import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reliability import flags, texts
from datatools.errors import UserError
from datatools.numbers import MOST_LISTED_SECONDS, parse_number, parse_seconds
from datatools.paths import name_problem
from datatools.submission import read_submission, write_answers
from utils.cli import boundary_command

SHORT = settings(max_examples=40, derandomize=True, deadline=None, database=None,
                 suppress_health_check=list(HealthCheck))
LONG = settings(SHORT, max_examples=3000, derandomize=False)

some_number = st.one_of(
    st.sampled_from(texts.GOOD_NUMBERS + texts.BAD_NUMBERS), st.floats(width=64).map(repr), st.integers().map(str),
    st.text("0123456789eE+-._ naif٣", max_size=8))
some_name = st.one_of(st.sampled_from(texts.GOOD_NAMES + texts.BAD_NAMES), st.text(max_size=12))
between = st.sampled_from((",", ",", ",", " ", ";", "", "\t", '","', ", "))


@st.composite
def some_file(draw, kind: str) -> bytes:
    """A text of this kind: lines near to right ones, or a right text with pieces put in and cut out."""
    if draw(st.booleans()):
        return texts.spoil(texts.compose(kind, rng := random.Random(draw(st.integers(0, 2**32)))), rng)
    if kind == "preset":
        keys = st.one_of(st.sampled_from([line.split(":")[0] for line in texts.PRESET_LINES]), st.text(max_size=8))
        values = st.one_of(some_number, st.sampled_from(texts.PRESET_VALUES), st.text(max_size=12))
        lines = draw(st.lists(st.tuples(keys, st.sampled_from((": ", ":", " : ")), values).map("".join), max_size=5))
    else:
        fields = st.lists(st.one_of(some_name, some_number), max_size=4)
        lines = draw(st.lists(fields.map(draw(between).join), max_size=5))
        head = texts.compose(kind, random.Random(0)).split("\n")[0]
        lines = [head, *lines] if draw(st.booleans()) else lines
    return draw(st.sampled_from(("\n", "\r\n", "\r"))).join(lines).encode("utf-8", "surrogatepass")


def check_file(kind: str, content: bytes, folder) -> None:
    path = folder / kind
    path.write_bytes(content)
    try:
        texts.READERS[kind](path)      # asserts that its numbers are finite
    except UserError as error:
        assert str(folder) in str(error) or kind == "preset"
        assert len(str(error)) < 5000
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", texts.READERS)
def test_any_file_gives_finite_numbers_or_a_user_error(kind, tmp_path):
    SHORT(given(some_file(kind))(lambda content: check_file(kind, content, tmp_path)))()


@pytest.mark.soak
@pytest.mark.parametrize("kind", texts.READERS)
def test_any_of_many_files_gives_finite_numbers_or_a_user_error(kind, tmp_path):
    LONG(given(some_file(kind))(lambda content: check_file(kind, content, tmp_path)))()


@SHORT
@given(some_number)
def test_any_text_is_a_finite_number_within_its_limits_or_none(text):
    seconds = parse_seconds(text)
    assert seconds is None or (0 <= seconds <= MOST_LISTED_SECONDS and math.copysign(1, seconds) == 1)
    try:
        value = parse_number(text, int, low=-5, high=5)
    except ValueError as error:
        assert len(str(error)) < 300
    else:
        assert value in range(-5, 6) and text.isascii() and "_" not in text


@SHORT
@given(st.sampled_from(("lr", "seed", "batch_size", "ema", "shift", "clip_grad", "max_epoch")), some_number)
def test_any_value_of_a_flag_is_a_finite_setting_or_a_user_error(flag, text):
    try:
        command = boundary_command("", [f"--{flag}={text}"])
    except UserError as error:
        assert f"--{flag}" in str(error)
    else:
        assert math.isfinite({**vars(command.fit), **vars(command.boundary)}[flag])


@SHORT
@given(st.one_of(some_name, st.text("=+-@,;\"' a\t\r\n", max_size=6)), st.floats(0, MOST_LISTED_SECONDS))
def test_a_name_that_is_written_is_read_again_and_begins_no_formula(tmp_path_factory, name, seconds):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.unlink(missing_ok=True)
    if name_problem(name):
        with pytest.raises(UserError):
            write_answers(path, [(f"{name}.mp4", "s", seconds)])
        assert not path.exists()
    else:
        write_answers(path, [(f"{name}.mp4", "s", seconds)])
        assert read_submission(path) == {(f"{name}.mp4", "s"): pytest.approx(seconds, abs=5.1e-4)}
        assert path.read_text(encoding="utf-8").lstrip("\"' ")[0] not in "=+-@\t\r"


def test_spoilt_texts_are_answered_or_refused(tmp_path):
    faults = [outcome for outcome in texts.campaign(140, 1, tmp_path) if outcome.result == "fault"]
    assert not faults and not list(tmp_path.glob("1_*"))


def test_wrong_values_of_flags_are_refused_and_harm_nothing(tmp_path):
    outcomes = flags.campaign(250, 1, tmp_path)
    assert not [outcome for outcome in outcomes if outcome.result != "refused"]


@pytest.mark.soak
def test_all_wrong_values_of_all_flags_are_refused_and_harm_nothing(tmp_path):
    outcomes = flags.campaign(None, 0, tmp_path)
    assert len(outcomes) > 2000 and not [outcome for outcome in outcomes if outcome.result != "refused"]


@pytest.mark.soak
def test_many_spoilt_texts_are_answered_or_refused(tmp_path):
    assert not [outcome for outcome in texts.campaign(2000, 0, tmp_path) if outcome.result == "fault"]
