"""Train a network on arrays of your own, without a flag, a folder or a file: python docs/train_on_arrays.py"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.batches import ArrayDataset
from utils.fit import fit
from utils.predict import validation_rows
from utils.settings import FitSettings
from utils.task import FitData, Task, Validation

rng = np.random.default_rng(0)
x = rng.standard_normal((200, 8)).astype(np.float32)
y = x @ np.arange(8, dtype=np.float32)      # what the network has to find
data = FitData(train=ArrayDataset({"x": x[:150], "y": y[:150]}), val=ArrayDataset({"x": x[150:], "y": y[150:]}))


class Line(torch.nn.Linear):
    def forward(self, x):
        return {"out": super().forward(x).squeeze(1)}


def validate(net, batches, batch_size, world):
    rows = validation_rows(net, lambda batch: {"off": (net(batch["x"])["out"] - batch["y"]).abs()}, batches, 32, world)
    return Validation({"error": float(np.mean([row["off"] for row in rows.values()]))})


task = Task("Line", inputs=("x",), build=lambda sizes: Line(8, 1), validate=validate, score="error",
            loss=lambda outputs, batch: (outputs["out"] - batch["y"]).square().mean())
fitted = fit(task, FitSettings(lr=0.3, batch_size=10, max_epoch=15, gpus="cpu"), data)
print("weights found:", fitted.net.weight.detach().numpy().round(2))
