"""Augmentation: what changes, what must not, and that the label goes where its boundary goes."""

import math

import numpy as np
import pytest
import soundfile
import soxr
import torch

from datatools import augment
from datatools.augment import borrow, clip_generators, damage, draw_shifts, shift_in_time, vary_look_and_sound
from datatools.features import extract_mfcc


def test_shifting_moves_sound_picture_text_and_label_together():
    rng = np.random.default_rng(0)
    mark = 50
    frames = torch.zeros(1, 200, 66, 88, 3, dtype=torch.uint8)
    frames[:, mark] = 255
    mfcc = torch.zeros(1, 20, 8616)
    mfcc[:, :, round(mark * 22050 / 512)] = 1
    roi = torch.zeros(1, 200, 27, 36, dtype=torch.uint8)
    roi[:, mark] = 1
    batch = {"frames": frames, "mfcc": mfcc, "text_roi": roi, "seconds": torch.tensor([50.0])}
    seen = set()
    for seed in rng.integers(0, 1000, 20).tolist():
        moved = shift_in_time(batch, 60, clip_generators(seed, 0, [0]))
        seconds = moved["seconds"].item()
        place = int(seconds)
        seen.add(place)
        assert moved["frames"][0, :, 0, 0, 0].nonzero().squeeze(1).tolist() == [place]
        assert moved["text_roi"][0, :, 0, 0].nonzero().squeeze(1).tolist() == [place]
        heard = moved["mfcc"][0, 0].nonzero().item() * 512 / 22050
        assert heard == pytest.approx(seconds, abs=512 / 22050)
    assert len(seen) > 10
    assert batch["seconds"].item() == 50.0 and frames[0, mark].min() == 255   # the batch itself is untouched


def test_varying_changes_look_and_sound_but_no_label_no_padding_and_no_order_in_time():
    batch = {
        "index": torch.arange(16), "seconds": torch.full((16,), 50.0),
        "frames": torch.zeros(16, 200, 66, 88, 3, dtype=torch.uint8),
        "text_roi": torch.zeros(16, 200, 27, 36, dtype=torch.uint8), "mfcc": torch.zeros(16, 20, 8616),
    }
    batch["frames"][:, 50, :, :8] = torch.tensor([200, 100, 50], dtype=torch.uint8)   # the left edge, at 50 s
    batch["text_roi"][:, 50, :, :3] = 1
    batch["mfcc"][:, :, :8000] = 1
    before = {name: value.clone() for name, value in batch.items()}
    varied = vary_look_and_sound(batch, 0.5, clip_generators(0, 0, list(range(16))))
    assert all(torch.equal(batch[name], before[name]) for name in batch)
    assert torch.equal(varied["seconds"], before["seconds"])
    left = varied["frames"][:, 50, 0, 0].amax(1) > 0
    assert 2 < left.sum() < 14                                         # some are mirrored, and their text with them
    assert torch.equal(varied["text_roi"][:, 50, 0, 0].bool(), left)
    assert torch.equal(varied["text_roi"][:, 50, 0, 35].bool(), ~left)
    assert not varied["frames"][:, :50].any() and not varied["frames"][:, 51:].any()
    colours = varied["frames"][:, 50].amax((1, 2))
    assert len(colours.unique(dim=0)) == 16
    assert not varied["mfcc"][:, :, 8000:].any()
    offset = varied["mfcc"][:, :, :8000] - 1
    assert torch.equal(offset.amax(2), offset.amin(2))                 # constant over time
    assert 15 < offset[:, 0, 0].std() < 60                             # 0.5 x 60, from 16 draws


def test_shifts_keep_the_label_within_the_clip():
    seconds = torch.tensor([0.5, 3.0, 100.0, 197.0, 199.9]).repeat(200)
    shifts = draw_shifts(seconds, 60, clip_generators(0, 0, list(range(len(seconds)))))
    moved = seconds + shifts
    assert (moved >= torch.minimum(seconds, torch.tensor(2.0))).all()
    assert (moved <= torch.maximum(seconds, torch.tensor(198.0))).all()
    assert shifts.min() == -60 and shifts.max() == 60


def clip_batch() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    batch = {
        "index": torch.arange(4), "seconds": torch.tensor([20.0, 60.0, 120.0, 180.0]),
        "mfcc": torch.from_numpy(10 * rng.standard_normal((4, 20, 8616)).astype(np.float32)),
        "frames": torch.from_numpy(rng.integers(0, 256, (4, 200, 66, 88, 3), dtype=np.uint8)),
        "text_roi": torch.ones(4, 200, 27, 36, dtype=torch.uint8),
    }
    batch["mfcc"][:, 0] -= 200
    batch["mfcc"][..., 8000:] = 0
    return batch


def test_damage_leaves_the_batch_alone_and_changes_its_copy():
    batch = clip_batch()
    before = {name: value.clone() for name, value in batch.items()}
    damaged = damage(batch, 1.0, clip_generators(0, 0, [0, 1, 2, 3]))
    assert all(torch.equal(batch[name], before[name]) for name in batch)
    for name in ("seconds", "mfcc", "frames", "text_roi"):
        assert damaged[name].shape == batch[name].shape and damaged[name].dtype == batch[name].dtype
        assert not torch.equal(damaged[name], batch[name])
    assert damaged["mfcc"].isfinite().all()
    again = damage(batch, 1.0, clip_generators(0, 0, [0, 1, 2, 3]))
    assert all(torch.equal(damaged[name], again[name]) for name in batch)
    none = damage(batch, 0.0, clip_generators(0, 0, [0, 1, 2, 3]))
    assert all(torch.equal(none[name], batch[name]) for name in batch)


def test_at_another_speed_sound_picture_and_text_still_change_at_the_label(monkeypatch):
    steps_per_second = 22_050 / 512
    batch = clip_batch()
    batch["seconds"] = torch.tensor([20.4, 61.9, 100.0, 181.5])
    for i, seconds in enumerate(batch["seconds"].tolist()):
        later = torch.arange(200) >= seconds
        batch["frames"][i] = later[:, None, None, None] * 200 + 1
        batch["text_roi"][i] = later[:, None, None]
        batch["mfcc"][i] = torch.where(torch.arange(8616) >= seconds * steps_per_second, 100.0, 1.0)
    for other in ("_blur", "_recolour"):
        monkeypatch.setattr(augment, other, lambda frames, _: frames)
    for other in ("_mark_corner", "_lose_text"):
        monkeypatch.setattr(augment, other, lambda *_: None)
    monkeypatch.setattr(augment, "_damage_sound", lambda mfcc, *_: mfcc)
    for seed in range(20):
        damaged = damage(batch, 0.999, clip_generators(seed, 0, [0, 1, 2, 3]))
        factors = batch["seconds"] / damaged["seconds"]
        assert (factors != 1).all() and factors.min() >= 0.95 and factors.max() <= 1.05
        for i, seconds in enumerate(damaged["seconds"].tolist()):
            shown, text = damaged["frames"][i, :, 0, 0, 0], damaged["text_roi"][i, :, 0, 0]
            first = math.ceil(seconds)
            assert (shown[:first] == 1).all() and shown[first] == 201
            assert not text[:first].any() and text[first] == 1
            heard = (damaged["mfcc"][i, 3] == 100).nonzero()[0].item() / steps_per_second
            assert heard == pytest.approx(seconds, abs=2 / steps_per_second)


def test_text_is_lost_in_single_seconds_or_in_a_stretch():
    kinds = set()
    for seed in range(40):
        masks = torch.ones(200, 27, 36, dtype=torch.uint8)
        augment._lose_text(masks, np.random.default_rng(seed))
        lost = masks.flatten(1).amax(1) == 0
        assert masks[~lost].all() and 10 <= lost.sum() <= 130
        kinds.add("stretch" if (lost.int().diff().abs().sum() <= 2) else "seconds")
    assert kinds == {"stretch", "seconds"}


def test_a_borrowed_picture_shows_its_boundary_when_the_sound_has_its_own():
    batch = clip_batch() | {"seconds": torch.tensor([20.4, 60.2, 70.9, 180.0]),
                            "kind": torch.tensor([1, 2, 1, 2])}
    for i, seconds in enumerate(batch["seconds"].tolist()):
        batch["frames"][i], batch["text_roi"][i] = 0, 0
        batch["frames"][i, int(seconds)] = 10 + i
        batch["text_roi"][i, int(seconds)] = 1
    borrowed = [borrow(batch, 1.0, clip_generators(seed, 0, [0, 1, 2, 3])) for seed in range(6)]
    for found in borrowed:
        assert torch.equal(found["mfcc"], batch["mfcc"]) and torch.equal(found["seconds"], batch["seconds"])
        for i, seconds in enumerate(batch["seconds"].tolist()):
            shown = found["frames"][i].flatten(1).amax(1)
            assert shown.argmax() == int(seconds) and found["text_roi"][i].flatten(1).amax(1).argmax() == int(seconds)
            # 1 and 3 are too far apart; 0 and 2 are the only two that can lend each other anything.
            assert shown.max() == 10 + i or (i, shown.max().item()) in ((0, 12), (2, 10))
    assert len({found["frames"][0].max().item() for found in borrowed}) == 2
    assert torch.equal(borrow(batch, 0.0, clip_generators(0, 0, [0, 1, 2, 3]))["frames"], batch["frames"])


def test_bands_and_back_are_the_same_coefficients():
    rows = augment._cosines("cpu")
    torch.testing.assert_close((128 / 32) * rows @ rows.T, torch.eye(20), atol=1e-5, rtol=0)


def test_cutting_high_tones_does_to_mfcc_what_it_does_to_a_files_mfcc(tmp_path):
    """Of white noise, whose high bands go down to 80 dB below the loudest."""
    noise = np.random.default_rng(0).standard_normal(22_050 * 4).astype(np.float32) * 0.1
    low = soxr.resample(soxr.resample(noise, 22_050, 8_000), 8_000, 22_050)[:len(noise)]
    for name, sound in (("noise", noise), ("low", low)):
        soundfile.write(tmp_path / f"{name}.wav", sound, 22_050)
    full, cut = (extract_mfcc(tmp_path / f"{name}.wav") for name in ("noise", "low"))
    assert full.shape == cut.shape

    class Middle:
        def uniform(self, low, high):
            return 0.7                       # 4 kHz of librosa's mel scale up to 11 kHz

    ours = augment._damage_sound(torch.from_numpy(full), True, False, False, Middle()).numpy()
    real, made = (cut - full).mean(1), (ours - full).mean(1)
    assert np.corrcoef(real, made)[0, 1] > 0.95
    assert np.linalg.norm(made) == pytest.approx(np.linalg.norm(real), rel=0.4)
