"""The log of a training: lines for people in log.txt and on screen, the same as JSON in log.jsonl."""

import json
import time
from pathlib import Path


class Log:
    """Appends to log.txt and log.jsonl in a folder, and prints."""

    def __init__(self, folder: Path):
        self.text, self.json = folder / "log.txt", folder / "log.jsonl"

    def line(self, message: str) -> None:
        print(message, flush=True)
        with open(self.text, "a", encoding="utf-8") as file:
            file.write(time.strftime("%Y-%m-%d %H:%M:%S ") + message + "\n")

    def record(self, **values) -> None:
        with open(self.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
