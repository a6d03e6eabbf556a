"""Many values of bytes as one buffer: all are looked through at once, and no object is kept for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast, overload

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]

NEWLINE = b"\n"
MISSING = -1  # the size of a value that is None


class Packer:
    """Packs values some hundred at a time."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._sizes: list[int] = []

    def add(self, values: Sequence[bytes | None]) -> None:
        """These come next."""
        if not values:
            return
        try:
            self._texts.append(NEWLINE.join(values))  # pyright: ignore[reportArgumentType]
            self._sizes += map(len, values)  # pyright: ignore[reportArgumentType]
        except TypeError:  # there is no joining None
            self._texts.append(NEWLINE.join([value or b"" for value in values]))
            self._sizes += [MISSING if value is None else len(value) for value in values]

    def packed(self) -> "Packed":
        """All of them."""
        return Packed(NEWLINE.join([*self._texts, b""]), np.array(self._sizes, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Packed(Sequence[bytes | None]):
    """Values side by side in `data`, each followed by a newline; `sizes` has shape (n,).

    Value i is `data[starts[i] : ends[i]]`, or None where its size is `MISSING`.
    """

    data: bytes = b""
    sizes: Longs = field(default_factory=lambda: np.empty(0, np.int64))
    _known_cuts: Longs | None = field(default=None, init=False)

    @staticmethod
    def of(values: Sequence[bytes | None]) -> "Packed":
        """These values."""
        packer = Packer()
        packer.add(values)
        return packer.packed()

    @staticmethod
    def joined(parts: Iterable["Packed"]) -> "Packed":
        """The values of all parts."""
        parts = [Packed(), *parts]
        return Packed(b"".join([part.data for part in parts]), np.concatenate([part.sizes for part in parts]))

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> "Packed": ...
    def __getitem__(self, index: int | slice) -> "bytes | Packed | None":
        rows = range(len(self))[index]
        if isinstance(rows, int):
            begin, size = int(self.starts[rows]), int(self.sizes[rows])
            return None if size == MISSING else self.data[begin : begin + size]
        if rows.step != 1:
            raise ValueError("values are taken one after another")
        if len(rows) == len(self):
            return self
        begin, end = self._cuts[[rows.start, max(rows.start, rows.stop)]].tolist()
        return Packed(self.data[begin:end], self.sizes[rows.start : rows.stop])

    @property
    def starts(self) -> Longs:
        """Where each value begins; shape (n,)."""
        return self._cuts[:-1]

    @property
    def ends(self) -> Longs:
        """Where the newline behind each value stands; shape (n,)."""
        return self._cuts[1:] - len(NEWLINE)

    @property
    def total_bytes(self) -> int:
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
        cuts = self._cuts[bounds].reshape(-1, 2)
        view = memoryview(self.data)
        return Packed(b"".join([view[begin:end] for begin, end in cuts.tolist()]), self.sizes[mask])

    @property
    def _cuts(self) -> Longs:
        """Where each value begins, and where all end, their newlines included; shape (n + 1,)."""
        if self._known_cuts is None:
            cuts = np.append(0, np.cumsum(np.maximum(self.sizes, 0) + len(NEWLINE)))
            object.__setattr__(self, "_known_cuts", cuts)
        return cast(Longs, self._known_cuts)
