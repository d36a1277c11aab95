"""Steps of a training whose loss depends on who else is in the batch, by one process of several.

    python tests/whole_batch_steps.py RANK SIZE FOLDER      # writes FOLDER/RANK.pt
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from torch import nn

from models.losses import matching_loss
from utils.devices import on_devices
from utils.distributed import World
from utils.step import Recipe, Training, share_of, train_step
from utils.task import Task

ALONE = World()
# Of the second step's batches one is a single sample, which only the first of two processes has.
GROUPS = [[list(range(7))], [[0, 1, 2], [3], [4, 5, 6, 7]], [[5]], [[7, 6, 5], [4, 3]]]


class Towers(nn.Module):
    """What the loss takes, of six numbers and a label."""

    def __init__(self, dropout: float = 0.0, most: int = 100):
        super().__init__()
        torch.manual_seed(0)
        self.video, self.text = nn.Linear(6, 4), nn.Embedding(5, 4)
        self.norm = nn.BatchNorm1d(6, affine=False) if dropout else nn.Identity()
        self.dropout, self.most, self.passes = nn.Dropout(dropout), most, 0
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, video, label):
        self.passes += 1
        if len(video) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return {"video": self.dropout(self.video(self.norm(video)).tanh()), "text": self.dropout(self.text(label)),
                "scale": self.scale.exp().expand(len(label)), "unused": self.video(video)}


TASK = Task("Towers", ("video", "label"), build=None, validate=None, whole_batch=True,
            loss=lambda outputs, batch: matching_loss(outputs["video"], outputs["text"], batch["label"],
                                                      outputs["scale"].mean()))


def batch_of(indices: list[int]) -> dict[str, torch.Tensor]:
    values = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    return {"index": torch.tensor(indices), "video": values[indices], "label": torch.tensor(indices) % 5}


def training_of(net: nn.Module, world: World = ALONE, rate: float = 0.5) -> Training:
    optimizer = torch.optim.SGD(net.parameters(), rate)
    return Training(net=net, parallel=on_devices(net, [torch.device("cpu")], world), optimizer=optimizer,
                    schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1),
                    scaler=torch.amp.GradScaler("cpu", enabled=False))


def steps(net: nn.Module, groups: list, world: World = ALONE, **more) -> dict:
    """The weights after a step over each group, and what the training has counted."""
    training, recipe = training_of(net, world), Recipe(TASK, world, tell=lambda line: None, **more)
    for group in groups:
        batches = [batch_of(share_of(indices, world)) for indices in group]
        assert not train_step(training, recipe, group, batches, lambda: False, str).bad
        training.step += 1
    return {**net.state_dict(), "loss": torch.tensor(training.loss_sum), "clips": torch.tensor(training.num_clips),
            "pieces": torch.tensor(training.pieces)}


if __name__ == "__main__":
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    torch.save(steps(Towers(), GROUPS, World(rank, size)), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
