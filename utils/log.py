"""The log of a training: lines for people in log.txt and on screen, the same as JSON in log.jsonl, and TensorBoard."""

import json
import math
import time
from pathlib import Path


class Log:
    """Appends to log.txt, log.jsonl and tensorboard/ in a folder, and prints; with `writes` False it does nothing."""

    def __init__(self, folder: Path, writes: bool = True):
        self.text, self.json, self.writes = folder / "log.txt", folder / "log.jsonl", writes
        self.folder, self.board = folder / "tensorboard", None

    def line(self, message: str) -> None:
        if self.writes:
            print(message, flush=True)
            with open(self.text, "a", encoding="utf-8") as file:
                file.write(time.strftime("%Y-%m-%d %H:%M:%S ") + message + "\n")

    def record(self, epoch: int, **values: float) -> None:
        """What was measured in an epoch. What is no number (the score of a kind without clips) is null in JSON."""
        values = {name: value if math.isfinite(value) else None for name, value in values.items()}
        if not self.writes:
            return
        with open(self.json, "a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **values}) + "\n")
        if self.board is None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(self.folder, purge_step=epoch)
        for name, value in values.items():
            if value is not None:
                self.board.add_scalar(name.replace("val_", "val/"), value, epoch)
        self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()
