"""Themes that go on in sound and not in pictures: an ending, and the preview that follows it in all episodes."""

import numpy as np
import pytest

from episodes.fingerprint import RETIMED, Prints
from episodes.theme_parts import cut_by_pictures
from episodes.themes import Occurrence, Theme

STARTS = (300.0, 320.0, 290.0, 310.0)     # s; where four episodes begin their ending
ENDING, PREVIEW = 60.0, 20.0              # s


def keyframes(seed: int, start: float, length: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return start + np.sort(rng.uniform(0, length, count)), rng.integers(0, 2**63, count)


def prints_of(*parts: tuple[np.ndarray, np.ndarray]) -> Prints:
    silent = np.zeros(0, np.uint32)
    return Prints(silent, silent, np.concatenate([times for times, _ in parts]),
                  np.concatenate([hashes for _, hashes in parts]).astype(np.uint64), 600.0)


def season(length: float = ENDING + PREVIEW, starts=STARTS, same_preview: bool = False, rate: float = 1.0) -> tuple:
    """A theme of sound, and prints whose pictures are the same for 60 s of it; the last member is played at `rate`."""
    prints, members = [], {}
    for number, start in enumerate(starts):
        speed = rate if number == len(starts) - 1 else 1.0
        times, hashes = keyframes(1, 0.0, ENDING, 15)
        own, others = keyframes(1_000 if same_preview else 2 + number, ENDING, PREVIEW, 6)
        own[0] = ENDING + 0.05      # the cut to the preview
        prints.append(prints_of((start + times / speed, hashes), (start + own / speed, others)))
        members[number] = [Occurrence(start, start + length / speed, speed, 1.0, 1.0)]
    return Theme(members, length), prints


def spans(theme: Theme) -> list[tuple[float, float]]:
    return [(one.start, one.end) for ones in theme.members.values() for one in ones]


def test_an_ending_is_parted_from_the_preview_that_plays_the_same_music_each_time():
    ending, preview = cut_by_pictures(*season())
    assert spans(ending) == [pytest.approx((start, start + ENDING), abs=0.1) for start in STARTS]
    assert spans(preview) == [pytest.approx((start + ENDING, start + ENDING + PREVIEW), abs=0.1) for start in STARTS]
    assert ending.length == pytest.approx(ENDING, abs=0.1)


def test_a_faster_member_is_cut_at_its_own_time():
    ending, _ = cut_by_pictures(*season(rate=RETIMED))
    assert spans(ending)[-1] == pytest.approx((310.0, 310.0 + ENDING / RETIMED), abs=0.1)


def test_a_member_that_ends_with_the_ending_has_no_part_in_the_preview():
    theme, prints = season()
    theme.members[3] = [theme.members[3][0]._replace(end=STARTS[3] + ENDING)]
    ending, preview = cut_by_pictures(theme, prints)
    assert sorted(ending.members) == [0, 1, 2, 3] and sorted(preview.members) == [0, 1, 2]
    assert ending.members[3][0].end == pytest.approx(STARTS[3] + ENDING, abs=0.1)


def test_pictures_that_are_the_same_throughout_or_nowhere_cut_nothing():
    theme, prints = season(same_preview=True)
    assert cut_by_pictures(theme, prints) == [theme]
    others = [prints_of(keyframes(50 + number, start, ENDING + PREVIEW, 20)) for number, start in enumerate(STARTS)]
    assert cut_by_pictures(theme, others) == [theme]
    assert cut_by_pictures(theme, [prints_of(keyframes(0, 0.0, 1.0, 0)) for _ in STARTS]) == [theme]


def test_one_episode_with_other_pictures_does_not_decide():
    theme, prints = season(same_preview=True)
    prints[2] = prints_of(keyframes(99, STARTS[2], ENDING + PREVIEW, 20))
    assert cut_by_pictures(theme, prints) == [theme]


def test_a_theme_of_the_usual_length_stays_whole():
    """As an opening whose last seconds show something else each week."""
    theme, prints = season(length=90.0)
    assert cut_by_pictures(theme, prints) == [theme]
