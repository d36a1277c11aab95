"""locate.py's own ways: what is answered for a show from its facts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import write_media
from test_accuracy_folder import SMALL

import locate
from datatools.errors import UserError, exit_code_of
from episodes.candidates import USUAL_RULES, candidates
from episodes.curve_evidence import find_recogniser
from episodes.evidence import Curve, EpisodeEvidence, Evidence, Repeat, pack
from episodes.fingerprint import Prints
from episodes.joining import join
from episodes.markers import Marker
from episodes.season_ways import season_ways
from episodes.season_work import LENGTH, _unpacked, decide, look
from episodes.ways import Looked
from models.actionclip import ActionCLIP
from models.avt_dist import AVTDist
from models.timesformer import TimeSformer
from utils.checkpoint import load_checkpoint, save_checkpoint


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


# ---------------------------------------------------------------- recognisers


RED, BLUE = (np.full((32, 32, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 30, 200)))


def recogniser(path: Path, classes: list[str], scale: float = 20.0) -> Path:
    """A checkpoint whose second class is what is red, its first what is blue; `scale`: how sure it is of that."""
    sizes = {"image_size": 32, "patch_size": 16, "width": 48, "depth": 1, "heads": 4, "frames": 4,
             "classes": len(classes)}
    torch.manual_seed(0)
    net = TimeSformer(**sizes).eval()
    with torch.inference_mode():
        red, blue = (net(torch.from_numpy(np.stack([image] * 4))[None])["features"][0] for image in (RED, BLUE))
        apart = (red - blue) / (red - blue).square().sum()
        net.head.weight.zero_()
        net.head.bias.zero_()
        net.head.weight[1] = scale * apart
        net.head.bias[1] = -scale * apart @ (red + blue) / 2
    save_checkpoint(path, {"network": "TimeSformer", "sizes": sizes, "model": net.state_dict(), "classes": classes})
    return path


def test_what_a_recogniser_sees_each_second_is_a_part_that_may_be_marked(tmp_path):
    path = write_media(tmp_path / "Show - 01.mkv", [BLUE] * 40 + [RED] * 60 + [BLUE] * 60, fps=2)      # red: 20 to 50 s
    _, seen = _unpacked(look(path, recognisers=(recogniser(tmp_path / "own.pth", ["story", "OP"]),)).content)
    (span,) = seen.of("recogniser")
    assert (span.kind, span.start, span.end) == ("opening", pytest.approx(20, abs=1), pytest.approx(50, abs=1))
    assert span.confidence > 0.9 and seen.curve("recogniser", "opening").values[[5, 70]].max() < 0.1
    assert [(each.kind, each.source) for each in candidates(seen, [], USUAL_RULES)] == [("opening", "recogniser")]


def test_an_actionclip_is_asked_by_its_classes_names(tmp_path):
    sizes = {"image_size": 32, "patch_size": 16, "width": 64, "depth": 1, "embed": 32, "text_width": 64,
             "text_depth": 1, "frames": 4, "fusion": "Transf"}
    save_checkpoint(tmp_path / "own.pth", {
        "network": "ActionCLIP", "sizes": sizes, "model": ActionCLIP(**sizes).state_dict(),
        "classes": ["the ending", "a story", "the opening"],
        "sampling": {"segments": True, "num_frames": 4, "image_size": 32, "short_side": [32, 32]}})
    found = find_recogniser(tmp_path / "own.pth")
    assert found.encoder.dim == 3 and found.kinds == {"opening": (2,), "ending": (0,)}
    scores = found.encoder.make(found.encoder).pictures(np.stack([RED] * 8 + [BLUE] * 8))
    assert scores.shape == (2, 3) and scores.sum(1) == pytest.approx(1, abs=1e-4) and (scores >= 0).all()


def test_another_recogniser_means_another_look(tmp_path):
    one, other = recogniser(tmp_path / "one.pth", ["a", "ED"]), recogniser(tmp_path / "other.pth", ["a", "ED"], 5.0)
    versions = [season_ways(recognisers=paths).version for paths in ((), (one,), (other,), (one, other))]
    assert len(set(versions)) == 4
    other.write_bytes(one.read_bytes())      # what counts is what a checkpoint holds
    assert season_ways(recognisers=(other,)).version == versions[1]


@pytest.mark.parametrize("name, told", [
    ("other.pth", "none of its classes is a part of an episode: 'running', 'jumping'. Expected names with"),
    ("unnamed.pth", "holds no names of classes"),
    ("network.pth", "holds AVTDist, which finds boundaries. Expected a video recogniser"),
    ("gone.pth", "gone.pth"),
])
def test_what_is_no_recogniser_of_openings_is_one_message_before_anything_is_looked_at(tmp_path, capsys, name, told):
    path, sizes = tmp_path / name, SMALL
    if name == "network.pth":
        save_checkpoint(path, {"network": "AVTDist", "sizes": sizes, "text_detector": None,
                               "model": AVTDist(**sizes).state_dict()})
    elif name == "other.pth":
        recogniser(path, ["running", "jumping"])
    elif name == "unnamed.pth":
        recogniser(path, ["a", "b"])
        save_checkpoint(path, {key: value for key, value in load_checkpoint(path).items() if key != "classes"})
    state = tmp_path / "state.sqlite"
    assert exit_code_of(lambda: locate.main([str(tmp_path), "--state", str(state), "--recogniser", str(path)])) == 2
    message = capsys.readouterr().err
    assert told in message and message.count("error: ") == 1 and not state.exists()


@pytest.mark.parametrize("kind, start", [("opening", 60.0), ("ending", 1300.0), ("recap", 0.0), ("preview", 1350.0)])
def test_a_recogniser_alone_sets_no_marker_and_helps_what_else_is_told(kind, start):
    end = start + 90.0
    values = np.zeros(1440, np.float32)
    values[int(start):int(end)] = 1.0
    cuts = tuple(Evidence("cut", None, time, time) for time in (start, end))
    alone = EpisodeEvidence(1440.0, (Evidence("recogniser", kind, start, end), *cuts),
                            (Curve("recogniser", kind, "within", 1.0, values),))
    assert join({"a": alone})["a"] == ()
    repeat = Repeat(0, start, end, members=2, share=0.1, position=0.5)      # two of twenty: too few to tell
    if kind in ("opening", "ending"):
        without = EpisodeEvidence(1440.0, cuts)
        assert join({"a": without}, {"a": [repeat]})["a"] == ()
        (marker,) = join({"a": alone}, {"a": [repeat]})["a"]
        assert (marker.type, marker.start, marker.end) == (kind, start, end)
