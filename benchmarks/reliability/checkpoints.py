"""Checkpoints that are damaged, changed and sealed again, or made to do harm: inferred with, and resumed from.

    python -m benchmarks.reliability.checkpoints --count 300 --seed 0     # prints what they came to

Each must give answers within the clip, or a UserError; within 30 s and 4 GiB.
"""

import argparse
import collections
import contextlib
import copy
import io
import math
import pickle
import random
import resource
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.reliability.limits import attempt
from benchmarks.reliability.outcome import RESULTS, Outcome
from models.losses import CLIP_SECONDS, regression_loss
from utils.batches import ArrayDataset
from utils.boundary import boundary_task
from utils.checkpoint import read_file, seal
from utils.fit import fit
from utils.predict import Predictor
from utils.run_folder import LAST
from utils.settings import BoundarySettings, FitSettings
from utils.task import FitData, Task

MEMORY = 4 << 30     # bytes that one checkpoint may take beyond what the process has
STEPS = 43           # of sound a clip; the network takes any number


class Tiny(nn.Module):
    """A convolution, batch norm and a linear layer over the sound alone."""

    inputs = ("mfcc",)

    def __init__(self, hidden: int = 3, kernels: tuple[int, ...] = (3, 1), standardise: bool = False):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(20 if not i else hidden, hidden, k, padding=k // 2)
                                   for i, k in enumerate(kernels))
        self.norm = nn.BatchNorm1d(hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, mfcc: Tensor) -> dict[str, Tensor]:
        x = mfcc
        for conv in self.convs:
            x = conv(x).tanh()
        return {"out": self.head(self.norm(x).mean(2)).sigmoid()}

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        return outputs["out"].squeeze(1).float() * CLIP_SECONDS


def tiny_data() -> ArrayDataset:
    rng = np.random.default_rng(0)
    return ArrayDataset({"mfcc": rng.standard_normal((2, 20, STEPS)).astype(np.float32),
                         "seconds": np.array([40, 150], np.float32)}, ["a_start", "b_end"])


def tiny_task(ema: bool = False) -> tuple[Task, FitSettings]:
    settings = FitSettings(max_epoch=2, batch_size=1, num_workers=0, gpus="cpu", ema=0.9 if ema else 0.0, lr=0.01)
    return boundary_task(Tiny, regression_loss, BoundarySettings(), {"hidden": 3, "kernels": (3, 1)}), settings


def tiny_checkpoint(folder: Path, ema: bool = False) -> dict:
    """The content of a checkpoint after one epoch of two."""
    task, settings = tiny_task(ema)
    data = FitData(tiny_data(), tiny_data())
    fitted = fit(task, FitSettings(**{**vars(settings), "max_epoch": 2, "save_prefix": folder, "patience": 1}), data)
    assert fitted.exit_code == 0
    content = read_file(folder / LAST)
    content["position"].update(epoch=1, step=0)
    content["scheduler"]["last_epoch"] = 2
    return content


# ---------------------------------------------------------------- what is done to a checkpoint

def holds_itself() -> list:
    itself = []
    itself.append(itself)
    return itself


def many_lists() -> list:
    """2**40 elements for whoever counts them one by one."""
    lists = []
    for _ in range(40):
        lists = [lists, lists]
    return lists


RUBBISH: tuple[Callable[[], object], ...] = (
    lambda: None, lambda: True, lambda: "", lambda: "AVTNet", lambda: "a\0b\n", lambda: "x" * 100_000, lambda: [],
    lambda: [1, "a", None], lambda: {}, lambda: {"a": {"b": [torch.ones(2)]}}, lambda: {5: 6}, lambda: (), lambda: -1,
    lambda: 0, lambda: 1, lambda: 10**9, lambda: 10**12, lambda: 2**70, lambda: -(2**70), lambda: 1.5,
    lambda: math.nan, lambda: math.inf, lambda: -1e300, lambda: torch.ones(2), lambda: torch.tensor(math.nan),
    lambda: torch.tensor(3), lambda: 2j, lambda: b"bytes", lambda: {1, 2}, lambda: torch.float16, holds_itself,
    lambda: torch.empty(10**12, device="meta"), many_lists, lambda: [[[[[]]]]] * 5, lambda: torch.Size([2]),
)


def _filled(value: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: torch.full_like(tensor, value, dtype=torch.float64 if abs(value) > 1e38 else None)


def _one_value(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.float().clone()
        tensor.view(-1)[:1] = value
        return tensor

    return change


TENSORS: tuple[Callable[[Tensor], object], ...] = (
    _one_value(math.nan), _one_value(math.inf), _one_value(-math.inf), _one_value(-5.0), _one_value(1e38),
    _filled(0), _filled(3), _filled(-1), _filled(1e300),
    lambda t: t.int(), lambda t: t.long(), lambda t: t.bool(), lambda t: t.to(torch.uint8), lambda t: t.half(),
    lambda t: t.bfloat16(), lambda t: t.double(), lambda t: t.to(torch.complex64), lambda t: t.to(torch.float8_e4m3fn),
    lambda t: t.to_sparse() if t.dim() else t, lambda t: t.to("meta"), lambda t: nn.Parameter(t.float()),
    lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8), lambda t: t.flatten()[:0],
    lambda t: t[None], lambda t: torch.cat([t.flatten(), t.flatten()]), lambda t: t.reshape(-1),
    lambda t: torch.zeros(1).as_strided((10**6, 10**6, 3), (0, 0, 0)), lambda t: t.flatten()[0].expand(t.shape),
    lambda t: t.transpose(0, -1).contiguous().transpose(0, -1) if t.dim() > 1 else t, lambda t: t.tolist(),
    lambda t: torch.cat([t.float().flatten(), torch.ones(9)])[9:].view(t.shape), lambda t: torch._neg_view(t.float()),
)


def places(value, found: list | None = None) -> list[tuple[dict | list, object]]:
    """(container, key) of every entry of nested dicts and lists."""
    found = [] if found is None else found
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            places(value[key], found)
    return found


def change_entry(container: dict | list, key, rng: random.Random) -> str:
    """Change one entry of a checkpoint; returns what was done."""
    value = container[key]
    kind = rng.randrange(5)
    if isinstance(value, Tensor) and kind:
        number = rng.randrange(len(TENSORS))
        with contextlib.suppress(RuntimeError, NotImplementedError):      # one that was changed already
            container[key] = TENSORS[number](value)
        return f"{key}: tensor change {number}"
    if kind == 1 and isinstance(container, dict):
        del container[key]
        return f"{key} dropped"
    if kind == 2 and isinstance(container, dict):
        name = rng.choice([7, None, "more", "", 1.5, (1, 2), "a\0b"])
        container[name] = container.pop(key)
        return f"{key} named {name!r}"
    number = rng.randrange(len(RUBBISH))
    container[key] = RUBBISH[number]()
    return f"{key}: rubbish {number}"


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function, *values):
        self.call = (function, values)

    def __reduce__(self):
        return self.call


def _nested(depth: int) -> bytes:
    """A pickle of a dict whose key is a tuple within a tuple, and so on."""
    return b"\x80\x02}" + b")" + b"\x85" * depth + b"K\x01s."


def _doubled(depth: int) -> bytes:
    """A pickle of a dict whose key is a tuple that holds another one twice, and so on: 2**depth to hash."""
    return b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * depth + b"K\x01s."


def _calls_a_list(depth: int) -> bytes:
    """A pickle that calls a list which holds another one twice, and so on: 2**depth to print in the error."""
    return b"\x80\x02]q\x00" + b"](h\x00h\x00eq\x00" * depth + b")R."


PICKLES: tuple[bytes, ...] = (
    pickle.dumps({"model": Calls(print, "harm")}, 2), pickle.dumps(Calls(eval, "1"), 2),
    pickle.dumps({"model": Calls(bytearray, 10**12)}, 2), pickle.dumps({"a": Calls(torch.Tensor, 10**13)}, 2),
    _nested(1_000_000), _nested(100_000), _doubled(60), _calls_a_list(60),
    b"\x80\x02" + b"]" * 100_000 + b"(t" * 100_000 + b".", b"\x80\x02" + b"]" * 200_000 + b".",
    b"", b".", b"\x80\x02}.", b"\x80\x05]\x94.", b"\x80\x02X\xff\xff\xff\xffa.", b"\x80\x02h\xff.",
    b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".", b"\x80\x02N\x85Q.", b"\x80\x02(K\x01K\x02Qs.",
)


def change_archive(path: Path, rng: random.Random) -> str:
    """Write the archive anew with one record changed; returns what was done."""
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    root = next(iter(records)).split("/")[0]
    kind, compression, extra = rng.randrange(7), zipfile.ZIP_STORED, None
    if kind == 0:
        records[f"{root}/data.pkl"] = rng.choice(PICKLES)
    elif kind == 1:
        records[f"{root}/zeros"] = bytes(rng.choice([10**3, 5 * 10**7]))
        compression = zipfile.ZIP_DEFLATED
    elif kind == 2:
        records[rng.choice(list(records))] = rng.randbytes(rng.choice([0, 1, 40, 1000]))
    elif kind == 3:
        del records[rng.choice(list(records))]
    elif kind == 4:
        extra = rng.choice([f"{root}/data.pkl", f"{root}/DATA.PKL", "other/data.pkl", f"{root}/constants.pkl"])
    elif kind == 5:
        records |= {f"{root}/more/{number}": b"" for number in range(rng.choice([10] * 9 + [60_000]))}
    else:
        data = bytearray(records[f"{root}/data.pkl"])
        for _ in range(rng.choice([1, 1, 3, 10])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        records[f"{root}/data.pkl"] = bytes(data)
    with warnings.catch_warnings():      # of a name that is there twice
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in records.items():
                archive.writestr(name, data)
            if extra:
                archive.writestr(extra, rng.choice(PICKLES))
    return f"archive change {kind}"


def change_bytes(path: Path, rng: random.Random) -> str:
    """Flip, cut, repeat or overwrite bytes; returns what was done."""
    data, kind = bytearray(path.read_bytes()), rng.randrange(5)
    where = rng.choice([rng.randrange(len(data)), max(0, len(data) - rng.randrange(1, 400))])
    if kind == 0:
        for _ in range(rng.choice([1, 1, 5, 50])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[where:]
    elif kind == 2:
        data[where:where] = data[:rng.randrange(1, 3000)]
    elif kind == 3:
        data[where:where + 8] = rng.choice([bytes(8), b"\xff" * 8, struct.pack("<q", 2**40), rng.randbytes(8)])
    else:
        data = bytearray(rng.randbytes(rng.choice([0, 22, 5000])))
    path.write_bytes(data)
    return f"bytes change {kind} at {where}"


def write_changed(path: Path, content: dict, rng: random.Random) -> str:
    """Write a checkpoint to which something was done; returns what."""
    content, done = copy.deepcopy(content), []
    how = rng.choice(["content"] * 5 + ["archive", "archive", "bytes"])
    if how == "content":
        # Most entries are an optimiser's tensors; the others are to have their turn.
        chosen = [rng.choice(rng.choice([places(content), [(content, key) for key in content]]))
                  for _ in range(rng.choice([1, 1, 1, 2, 4]))]
        done = [change_entry(container, key, rng) for container, key in chosen
                if isinstance(container, list) or key in container]
    form = rng.choice(["sealed"] * 6 + ["version 1", "version 1", "before 1.6", "weights alone"])
    if form == "weights alone":
        content = {"model": content.get("model")}
    elif form != "sealed" and "version" in content:
        content["version"] = 1      # the others are to have a SHA-256
    torch.save(content, path, _use_new_zipfile_serialization=form != "before 1.6")
    if how == "archive" and zipfile.is_zipfile(path):
        done.append(change_archive(path, rng))
    if form == "sealed":
        seal(path)
    if how == "bytes" or not done:
        done.append(change_bytes(path, rng))
    return f"{form}: {', '.join(done)}"


# ---------------------------------------------------------------- what it came to


@contextlib.contextmanager
def memory_limit(most: int = MEMORY) -> Iterator[None]:
    """Let the process take at most so many bytes more of address space in the block."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def infer(path: Path) -> str:
    """The answers with a checkpoint. Raises ArithmeticError where they are no times of the clips."""
    found = Predictor(path, Tiny, gpus="cpu")(tiny_data().batch([0, 1]))["seconds"]
    if not ((found >= 0) & (found <= CLIP_SECONDS)).all():
        raise ArithmeticError(f"answers {found.tolist()}")
    return f"answers {[round(seconds, 3) for seconds in found.tolist()]}"


def resume(path: Path, ema: bool) -> str:
    """The score of a training that goes on from a checkpoint. Raises ArithmeticError if its weights are not finite."""
    task, settings = tiny_task(ema)
    with contextlib.redirect_stdout(io.StringIO()):
        fitted = fit(task, FitSettings(**{**vars(settings), "resume": str(path)}), FitData(tiny_data(), tiny_data()))
    if not all(value.isfinite().all() for value in fitted.net.state_dict().values()):
        raise ArithmeticError("weights that are not finite")
    return f"trains on to {fitted.best['score']:.3f}"


def campaign(count: int, seed: int, folder: Path) -> list[Outcome]:
    """What inference with, and training on from, each of `count` changed checkpoints came to: 2 x `count` outcomes."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {}
    for ema in (False, True):
        with contextlib.redirect_stdout(io.StringIO()):
            contents[ema] = tiny_checkpoint(folder / f"tiny{ema:d}", ema)
    outcomes = []
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        ema = rng.random() < 0.3
        path = folder / f"changed{number}.pth"
        name = f"checkpoint {number}, {write_changed(path, contents[ema], rng)}"
        with memory_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")      # torch's, of pickles that it does not know
            outcomes.append(attempt(f"{name}: infer", lambda path=path: infer(path)))
            outcomes.append(attempt(f"{name}: resume", lambda path=path, ema=ema: resume(path, ema)))
        path.unlink()
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="%(default)s")
    parser.add_argument("--seed", type=int, default=0, help="%(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = campaign(args.count, args.seed, Path(folder))
    told = collections.Counter(outcome.result for outcome in outcomes)
    print(f"{args.count} checkpoints, inferred with and resumed from: "
          + ", ".join(f"{told[result]} {result}" for result in RESULTS))
    for outcome in outcomes:
        if outcome.result == "fault":
            print(outcome)
    return 1 if told["fault"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
