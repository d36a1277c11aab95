"""The log of a training: lines in log.txt and on screen, the figures of each epoch in log.jsonl and TensorBoard."""

import io
import json
import math
import os
import platform
import time
from pathlib import Path

from tqdm import tqdm

from datatools.files import append


class Log:
    """Appends to log.txt, log.jsonl and tensorboard/ in a folder, and prints.

    Without a folder it only prints; with `writes` False (all processes but the first) it does neither. `records` holds
    the figures of each epoch since this process started.
    """

    def __init__(self, folder: Path | None, writes: bool = True):
        self.folder, self.writes = folder, writes
        self.records: list[dict] = []
        self.events = f"events.out.tfevents.{time.time_ns()}.{platform.node()}.{os.getpid()}"
        for name in ("log.txt", "log.jsonl"):
            if folder and writes and (folder / name).exists() and not (folder / name).read_bytes().endswith(b"\n"):
                append(folder / name, b"\n")       # after a line that a full disk cut off

    def line(self, message: str) -> None:
        if not self.writes:
            return
        with tqdm.external_write_mode():      # above a progress bar, where there is one
            print(message, flush=True)
        if self.folder:
            append(self.folder / "log.txt", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n".encode())

    def record(self, epoch: int, **values: float) -> None:
        """Record an epoch's figures. A value that is not finite (the score of a kind without clips) becomes null."""
        values = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.records.append({"epoch": epoch, **values})
        if not self.writes or not self.folder:
            return
        append(self.folder / "log.jsonl", (json.dumps({"epoch": epoch, **values}) + "\n").encode())
        (self.folder / "tensorboard").mkdir(exist_ok=True)
        append(self.folder / "tensorboard" / self.events, scalar_events(epoch, values, begins=len(self.records) == 1))


def scalar_events(epoch: int, values: dict[str, float | None], begins: bool) -> bytes:
    """An epoch's figures as TensorBoard's records. `begins`: a training (again) begins, later epochs in older files
    are void.

    Made here because TensorBoard's own writer has a thread, which prints a traceback where the disk is full.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    found = [{"file_version": "brain.Event:2"}, {"session_log": SessionLog(status=SessionLog.START)}] if begins else []
    found += [{"summary": Summary(value=[Summary.Value(tag=name.replace("val_", "val/"), simple_value=value)])}
              for name, value in values.items() if value is not None]
    records = io.BytesIO()
    for event in found:
        RecordWriter(records).write(Event(wall_time=time.time(), step=epoch, **event).SerializeToString())
    return records.getvalue()
