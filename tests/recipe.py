"""Weights and inputs that follow from names, shapes and a seed alone: what the golden outputs were computed from."""

import math
import zlib

import numpy as np
import torch

from models.avtnet_reference import to_reference


def recipe_tensor(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """A reference tensor: normal with variance 1 / fan-in; norms near one, biases near zero, counters zero."""
    kind = name.split(".")[-1]
    if kind == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if kind == "logit_scale":
        return torch.tensor(math.log(1 / 0.07))
    normal = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape, dtype=np.float32)
    if kind == "running_var":
        return torch.from_numpy(1 + 0.2 * np.abs(normal))
    if kind == "running_mean" or (kind != "weight" and len(shape) <= 1):
        return torch.from_numpy(0.1 * normal)
    if len(shape) <= 1:
        return torch.from_numpy(1 + 0.1 * normal)
    return torch.from_numpy(normal / np.float32(math.sqrt(math.prod(shape[1:]))))


def reference_weights(network: type, seed: int = 0) -> dict[str, torch.Tensor]:
    """A whole reference state dict for one of our networks at full size."""
    with torch.device("meta"):
        names = to_reference(network.__name__, network().state_dict())
    return {name: recipe_tensor(name, tuple(value.shape), seed) for name, value in names.items()}


def recipe_batch(size: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Clips that differ from each other and over time."""
    rng = np.random.default_rng([seed, 1])
    blocks = rng.integers(0, 256, (size, 20, 6, 8, 3)).repeat(10, 1).repeat(11, 2).repeat(11, 3)
    frames = (blocks + rng.integers(-20, 21, (size, 200, 66, 88, 3))).clip(0, 255).astype(np.uint8)
    slow = rng.standard_normal((size, 20, 36)).repeat(240, 2)[:, :, :8616]
    mfcc = (40 * slow + 10 * rng.standard_normal((size, 20, 8616))).astype(np.float32)
    text_roi = (rng.random((size, 200, 27, 36)) < 0.1).astype(np.uint8)
    seconds = rng.uniform(5, 195, size).astype(np.float32)
    arrays = {"frames": frames, "mfcc": mfcc, "text_roi": text_roi, "seconds": seconds}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
