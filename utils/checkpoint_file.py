"""Whether torch.load may read a file: its size, its archive's directory and its pickle, looked at before anything runs.

    check_file(Path("avnet_last.pth"))     # raises ValueError with what is wrong; UserError for TorchScript

torch.load with weights_only=True runs no code, but it takes the file's word for sizes: an archive of a megabyte may
unpack to gigabytes, and a pickle may build what takes for ever to hash or to print.
"""

import io
import pickletools
import re
import zipfile
from pathlib import Path

from datatools.errors import UserError

START_OF_ZIP = b"PK\3\4"
START_OF_PICKLE = b"\x80"
MOST_ENTRIES = 50_000          # records in an archive, one a tensor; a network of ours has some hundreds
MOST_DIRECTORY = 8 << 20       # bytes of an archive's directory
MOST_PICKLE = 1 << 20          # bytes; some hundred a tensor, for the tensors' values lie elsewhere
MOST_IN_A_TUPLE = 10_000       # things within one tuple: Python hashes them all, in C and without a limit of depth
LEGACY_PICKLES = 5             # what torch wrote before 1.6: magic number, version, machine, content, tensors' keys
# The functions and classes that build weights, and those within the reference's schedule object. A meta tensor (one
# without values) is harmless here, and is refused where its values are needed.
BUILDERS = re.compile(
    r"collections (OrderedDict|Counter|defaultdict)|(__builtin__|builtins) dict|torch\.storage UntypedStorage"
    r"|torch (\w+Storage|Size|device|bool|(b?float|u?int|complex)\d+)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|meta_tensor_no_storage)|torch\.serialization _get_layout"
    r"|torch\.nn\.parameter Parameter|torch\.optim\.adam Adam|torch\.optim\.lr_scheduler CosineAnnealingLR"
)


def check_file(path: Path) -> None:
    """Raise ValueError, or one of zipfile's errors, where a file is none that torch.save writes."""
    with open(path, "rb") as file:
        if file.read(len(START_OF_ZIP)) == START_OF_ZIP:
            check_pickle(pickle_of(path, path.stat().st_size))
            return
        file.seek(0)
        start = io.BytesIO(file.read(MOST_PICKLE))
    if start.getvalue()[:1] != START_OF_PICKLE:
        raise ValueError(f"it begins with {start.getvalue()[:4]!r}, expected the archive or the pickles of torch.save")
    for _ in range(LEGACY_PICKLES):
        check_pickle(start)


def pickle_of(path: Path, size: int) -> io.BytesIO:
    """The pickle in an archive of `size` bytes. Raises ValueError where the archive is not as torch.save writes it."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 22 - 65_535))      # the longest comment
        end = file.read()
    where = end.rfind(zipfile.stringEndArchive)
    if where < 0 or int.from_bytes(end[where + 12:where + 16], "little") > MOST_DIRECTORY:
        raise ValueError("its archive has no directory, or one too large")
    with zipfile.ZipFile(path) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        ends = [entry.header_offset + 30 + entry.compress_size for entry in entries]     # 30: the shortest header
        starts = [*(entry.header_offset for entry in entries[1:]), archive.start_dir]
        if any(entry.filename.endswith("constants.pkl") for entry in entries):
            raise UserError(f"{path}: a TorchScript archive, which holds a program beside the weights and is not run "
                            "here; OpenAI's CLIP files are such. Where you trust it, save its weights alone, and give "
                            f"that file:\n  import torch\n  torch.save(torch.jit.load({str(path)!r}, "
                            "map_location='cpu').state_dict(), 'weights.pt')")
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_ENTRIES:
            raise ValueError(f"its archive has {len(entries)} records, expected at most {MOST_ENTRIES}")
        if unpacked > size:
            raise ValueError(f"it would unpack to {unpacked} bytes and has {size}; torch.save packs nothing")
        if any(end > start for end, start in zip(ends, starts, strict=True)):
            raise ValueError("records of its archive overlap")
        if any(entry.flag_bits & 1 for entry in entries):
            raise ValueError("its archive is encrypted")
        if len({entry.filename.lower() for entry in entries}) < len(entries):      # torch ignores case
            raise ValueError("its archive has two records of one name")
        pickles = [entry for entry in entries if entry.filename.lower().endswith("data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > MOST_PICKLE:
            raise ValueError(f"its archive has {len(pickles)} pickles, {sum(p.file_size for p in pickles)} bytes long; "
                             f"expected one of at most {MOST_PICKLE}")
        return io.BytesIO(archive.read(pickles[0]))


def check_pickle(file: io.BytesIO) -> None:
    """Go through a pickle's instructions as Python would, without building anything. Raises ValueError.

    The stack holds how many things each value is made of. Only tuples count theirs, for only they are hashed; a builder
    counts as 0. `marks` are heights of the stack.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    name = ""
    for step, value, _ in pickletools.genops(file):
        if step.name == "GLOBAL" and not BUILDERS.fullmatch(value):
            place = f" for {name!r}" if name else ""
            raise ValueError(f"it asks for {value[:80]!r}{place}, expected plain types and dense tensors")
        if isinstance(value, str):
            name = value[:60]
        if step.name == "MARK":
            marks.append(len(stack))
            continue
        before = step.stack_before
        if pickletools.markobject in before:
            top = marks.pop() - before.index(pickletools.markobject)
        else:
            top = len(stack) - len(before)
        taken = stack[top:] if top >= 0 else []
        if top < (marks[-1] if marks else 0) or (step.name in ("REDUCE", "NEWOBJ") and taken[0] != 0):
            raise ValueError("its pickle is none that torch.save writes")
        del stack[top:]
        if step.name.startswith("TUPLE"):
            size = 1 + sum(taken)
        elif "GET" in step.name:
            size = memo[value]
        else:
            size = 0 if step.name == "GLOBAL" else 1
        if size > MOST_IN_A_TUPLE:
            raise ValueError(f"a tuple of more than {MOST_IN_A_TUPLE} things is in it")
        stack += [size] * len(step.stack_after)
        if "PUT" in step.name:
            memo[value] = stack[-1]
