"""What a clip's name tells of its kind."""

import pytest

from datatools.errors import UserError
from datatools.layout import END, KINDS, START, clip_kind, clips_of_kind, is_ending, kind_number, kind_of


def test_a_names_ending_tells_the_kind():
    names = ["a_start", "b_end", "c", "d_end_start"]
    assert [kind_of(name) for name in names] == [START, END, None, START]
    assert [kind_number(name) for name in names] == [1, 2, 0, 1]
    assert [is_ending(name) for name in names] == [False, True, False, False]
    assert [clip_kind(name) for name in (names[0], names[1], names[3])] == ["s", "e", "s"]
    with pytest.raises(UserError, match="clip 'c': its name must end in _start .* or in _end"):
        clip_kind("c")


def test_every_clip_is_of_one_kind():
    names = ["b_end", "a_start", "c", "d_end"]
    assert clips_of_kind(names, END) == ["b_end", "d_end"]
    assert clips_of_kind(names, START) == ["a_start", "c"]      # as the score counts a name that does not tell
    assert sorted(name for kind in KINDS for name in clips_of_kind(names, kind)) == sorted(names)
