"""locate.py's own ways: what is answered for a show from its facts."""

import numpy as np
import pytest

from datatools.errors import UserError
from episodes.evidence import EpisodeEvidence, pack
from episodes.fingerprint import Prints
from episodes.markers import Marker
from episodes.season_ways import season_ways
from episodes.season_work import LENGTH, decide
from episodes.ways import Looked
from models.timesformer import TimeSformer
from utils.checkpoint import save_checkpoint


def test_what_a_person_says_about_one_episode_makes_nothing_up_for_any():
    """Of two files that are gone meanwhile and share nothing, nothing is found; the person's markers are kept apart."""
    none = np.zeros(0, np.uint32)
    prints = Prints(none, none, none.astype(np.float64), none.astype(np.uint64), 1440.0).to_bytes()
    facts = LENGTH.pack(len(prints)) + prints + pack(EpisodeEvidence(1440.0))
    episodes = [Looked(f"/gone/{number}.mkv", 1, (float(number),), "episode", 1440.0, facts) for number in (1, 2)]
    told = {"/gone/1.mkv": {"opening": (Marker("opening", 60.0, 150.0),), "ending": ()}}
    found = decide(episodes, told, {})
    assert found == {"/gone/1.mkv": (), "/gone/2.mkv": ()}


def test_a_recogniser_is_refused_among_the_boundary_networks_before_anything_is_looked_at(tmp_path):
    sizes = {"image_size": 32, "patch_size": 16, "width": 48, "depth": 1, "heads": 4, "frames": 4, "classes": 7}
    path = tmp_path / "recogniser.pth"
    save_checkpoint(path, {"network": "TimeSformer", "sizes": sizes, "text_detector": None,
                           "model": TimeSformer(**sizes).state_dict()})
    with pytest.raises(UserError, match="recogniser.pth: holds TimeSformer, a video recogniser"):
        season_ways(weights=(path,))
