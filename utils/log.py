"""The log of a training: lines in log.txt and on screen, the figures of each epoch in log.jsonl and TensorBoard."""

import json
import math
import time
from pathlib import Path

from tqdm import tqdm


class Log:
    """Appends to log.txt, log.jsonl and tensorboard/ in a folder, and prints.

    Without a folder it only prints; with `writes` False (all processes but the first) it does neither. `records` holds
    the figures of each epoch since this process started.
    """

    def __init__(self, folder: Path | None, writes: bool = True):
        self.folder, self.writes = folder, writes
        self.board = None
        self.records: list[dict] = []

    def line(self, message: str) -> None:
        if not self.writes:
            return
        with tqdm.external_write_mode():      # above a progress bar, where there is one
            print(message, flush=True)
        if self.folder:
            with open(self.folder / "log.txt", "a", encoding="utf-8") as file:
                file.write(time.strftime("%Y-%m-%d %H:%M:%S ") + message + "\n")

    def record(self, epoch: int, **values: float) -> None:
        """Record an epoch's figures. A value that is not finite (the score of a kind without clips) becomes null."""
        values = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.records.append({"epoch": epoch, **values})
        if not self.writes or not self.folder:
            return
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **values}) + "\n")
        if self.board is None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(self.folder / "tensorboard", purge_step=epoch)
        for name, value in values.items():
            if value is not None:
                self.board.add_scalar(name.replace("val_", "val/"), value, epoch)
        self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()
