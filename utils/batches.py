"""Batches on their device: read ahead while the network computes, or taken from a data set in the device's memory.

    batches = Batches(dataset, device, num_workers=2)
    for batch in batches([[3, 1], [0, 2]]):
        ...
    batches.waited      # s that the loop waited for data

A data set is anything with `len`, `batch(indices, pinned) -> dict of tensors` and `name_of(index) -> str`: ClipDataset
reads files, ArrayDataset holds arrays. Every batch has the key `index`, the places (B,) of its rows in the data set.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

READ_AHEAD = 2     # batches for each thread


class ArrayDataset:
    """A data set of arrays in memory, {name: (N, ...)}, all of length N; a batch holds rows of each.

    `names` are the rows' names in messages; by default row0, row1, ...
    """

    def __init__(self, arrays: dict[str, np.ndarray], names: list[str] | None = None):
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"arrays of one length are expected, found {lengths}")
        self.length = next(iter(lengths.values()))
        self.names = names or [f"row{i}" for i in range(self.length)]

    def __len__(self) -> int:
        return self.length

    def name_of(self, index: int) -> str:
        return self.names[index]

    def batch(self, indices: list[int], pinned: bool = False) -> dict[str, Tensor]:
        rows = {name: torch.from_numpy(array[indices]) for name, array in self.arrays.items()}
        return {"index": torch.tensor(indices), **{k: v.pin_memory() if pinned else v for k, v in rows.items()}}


class Batches:
    """Batches of a data set by lists of indices. `in_memory` loads the whole set onto the device at the start.

    `num_workers` counts threads: reading only copies memory, which releases Python's global lock (GIL). With 0, a batch
    is read when it is needed.
    """

    def __init__(self, dataset, device: torch.device, num_workers: int, in_memory: bool = False):
        self.dataset, self.device, self.num_workers = dataset, device, num_workers
        self.pinned = device.type == "cuda"
        self.waited = 0.0
        self.all: dict[str, Tensor] | None = None
        if in_memory:
            self.all = {}
            for index in range(len(dataset)):
                for name, value in self._load([index]).items():
                    if index == 0:
                        self.all[name] = value.new_empty((len(dataset), *value.shape[1:]))
                    self.all[name][index] = value[0]

    def name_of(self, index: int) -> str:
        """The name of a sample in messages."""
        return self.dataset.name_of(index)

    def _load(self, indices: list[int]) -> dict[str, Tensor]:
        batch = self.dataset.batch(indices, pinned=self.pinned)
        return {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}

    def __call__(self, index_lists: Iterable[list[int]]) -> Iterator[dict[str, Tensor]]:
        """The batches, in order. Raises UserError that names a file that cannot be read."""
        if self.all is not None:
            for indices in index_lists:
                rows = torch.tensor(indices, device=self.device)
                yield {name: value[rows] for name, value in self.all.items()}
        elif self.num_workers == 0:
            for indices in index_lists:
                started = time.perf_counter()
                batch = self._load(indices)
                self.waited += time.perf_counter() - started
                yield batch
        else:
            yield from self._read_ahead(iter(index_lists))

    def _read_ahead(self, index_lists: Iterator[list[int]]) -> Iterator[dict[str, Tensor]]:
        # The threads only read; the copy to a GPU is started here, on the compute stream.
        with ThreadPoolExecutor(self.num_workers) as pool:
            coming: deque = deque()
            try:
                while True:
                    while len(coming) < READ_AHEAD * self.num_workers:
                        indices = next(index_lists, None)
                        if indices is None:
                            break
                        coming.append(pool.submit(self.dataset.batch, indices, self.pinned))
                    if not coming:
                        return
                    started = time.perf_counter()
                    batch = coming.popleft().result()
                    batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
                    self.waited += time.perf_counter() - started
                    yield batch
            finally:
                for future in coming:
                    future.cancel()
