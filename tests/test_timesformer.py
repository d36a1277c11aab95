"""TimeSformer: the reference's numbers, equal ways to compute them, and weights from elsewhere."""

import numpy as np
import pytest
import torch
from recipe import recipe_tensor

from models.timesformer import TimeSformer

SIZES = {"image_size": 32, "patch_size": 16, "width": 48, "depth": 3, "heads": 4, "frames": 4, "classes": 7}
# The reference's answers, on weights and inputs that follow from seed 0; of the second size embeddings are resized.
GOLDEN = {
    "divided_space_time.4x32x32": [
        [-0.740256, -1.621876, -0.769133, 0.924852, -1.881153, 1.05281, -1.669819],
        [1.215513, -1.526758, 0.729343, 1.070649, -1.519081, 1.024045, -1.438635]],
    "divided_space_time.6x48x48": [
        [0.783799, -2.091429, 0.188193, 1.203148, -1.901479, 0.267729, -0.638545],
        [0.81618, -1.433753, -0.15562, 0.682154, -1.494097, 0.047447, -1.380055]],
    "space_only.4x32x32": [
        [0.137652, -1.593439, -0.902802, 0.663237, -1.5991, 1.607186, -0.422118],
        [0.885181, -1.345857, 0.660206, 0.446455, -2.68103, 0.318028, -0.490236]],
    "space_only.6x48x48": [
        [1.215308, -1.784537, -0.001039, 1.221127, -1.673746, 0.838649, 0.210968],
        [0.795489, -1.1973, 0.280264, 0.5727, -2.577637, -0.410896, -0.227737]],
    "joint_space_time.4x32x32": [
        [0.202174, -1.770205, -1.261032, 0.632438, -1.787263, 1.345445, 0.105638],
        [0.559076, -1.194402, 0.554624, -0.084769, -2.970846, -0.004819, 0.043802]],
    "joint_space_time.6x48x48": [
        [1.053601, -1.777632, -0.711462, 0.832602, -1.984561, 0.862996, 0.40196],
        [0.795092, -1.716968, -0.584575, 0.660558, -3.398841, 0.214486, 0.317824]],
}


def network(attention: str = "divided_space_time", **sizes) -> TimeSformer:
    """A tiny network in eval mode, with the weights of seed 0."""
    net = TimeSformer(**{**SIZES, "attention": attention, **sizes}).eval()
    net.load_state_dict({name: recipe_tensor(name, tuple(value.shape), 0) for name, value in net.state_dict().items()})
    return net


def random_clip(frames: int, height: int, width: int) -> torch.Tensor:
    values = np.random.default_rng([0, 2, frames]).standard_normal((2, 3, frames, height, width))
    return torch.from_numpy(values.astype(np.float32))


def random_video(frames: int = 4, size: int = 32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, frames, size, size, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", GOLDEN)
@torch.inference_mode()
def test_golden_numbers(name):
    attention, size = name.split(".")
    logits = network(attention).forward_clip(random_clip(*map(int, size.split("x"))))["logits"]
    np.testing.assert_allclose(logits.numpy(), GOLDEN[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("attention, tensors, parameters", [
    ("divided_space_time", 249, 121_566_352), ("joint_space_time", 153, 86_112_400), ("space_only", 152, 86_106_256)])
def test_the_base_network_has_the_references_number_of_weights(attention, tensors, parameters):
    with torch.device("meta"):
        weights = TimeSformer(attention=attention).state_dict()
    assert (len(weights), sum(weight.numel() for weight in weights.values())) == (tensors, parameters)
