"""Many values of bytes as one buffer: all are looked through at once, and no object is kept for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self, overload

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]

NEWLINE = b"\n"
MISSING = -1  # the size of a value that is None


@dataclass(frozen=True, slots=True, eq=False)
class Packed(Sequence[bytes | None]):
    """Values side by side in `data`, each followed by a newline; `sizes` has shape (n,).

    Value i is `data[ends[i] - sizes[i] : ends[i]]`, or None where its size is `MISSING`.
    """

    data: bytes = b""
    sizes: Longs = field(default_factory=lambda: np.empty(0, np.int64))
    ends: Longs = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", np.cumsum(np.maximum(self.sizes, 0) + len(NEWLINE)) - len(NEWLINE))

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Self:
        """These values."""
        try:
            return cls(NEWLINE.join([*values, b""]), np.array(list(map(len, values)), np.int64))  # pyright: ignore
        except TypeError:  # there is no joining None
            sizes = [MISSING if value is None else len(value) for value in values]
            return cls(NEWLINE.join([*(value or b"" for value in values), b""]), np.array(sizes, np.int64))

    @classmethod
    def joined(cls, parts: Iterable["Packed"]) -> Self:
        """The values of all parts."""
        parts = [cls(), *parts]
        return cls(b"".join([part.data for part in parts]), np.concatenate([part.sizes for part in parts]))

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> "Packed": ...
    def __getitem__(self, index: int | slice) -> "bytes | Packed | None":
        if isinstance(index, slice):
            rows = range(len(self))[index]
            if rows.step != 1:
                raise ValueError("values are taken one after another")
            return self._run(rows.start, max(rows.start, rows.stop))
        size, end = int(self.sizes[index]), int(self.ends[index])
        return None if size == MISSING else self.data[end - size : end]

    @property
    def starts(self) -> Longs:
        """Where each value begins; shape (n,)."""
        return self.ends - np.maximum(self.sizes, 0)

    @property
    def bytes(self) -> int:
        """Of all values together."""
        return len(self.data) - len(self) * len(NEWLINE)

    @property
    def octets(self) -> npt.NDArray[np.uint8]:
        """All of `data`."""
        return np.frombuffer(self.data, np.uint8)

    def pick(self, mask: npt.NDArray[np.bool_]) -> "Packed":
        """The values for which `mask`, shape (n,), holds."""
        if mask.all():
            return self
        bounds = np.flatnonzero(np.diff(mask, prepend=False, append=False))  # of runs: first, behind, first, behind, …
        cuts = np.append(0, self.ends + len(NEWLINE))[bounds].reshape(-1, 2)
        view = memoryview(self.data)
        return Packed(b"".join([view[begin:end] for begin, end in cuts.tolist()]), self.sizes[mask])

    def _run(self, start: int, stop: int) -> "Packed":
        if stop - start == len(self):
            return self
        cuts = np.append(0, self.ends + len(NEWLINE))
        return Packed(self.data[cuts[start] : cuts[stop]], self.sizes[start:stop])
