"""Canonical SKUs, a column at a time: texts that are in canonical form already are matched where they stand.

Arrow matches with RE2, which knows neither Python's flags nor all of its syntax, and reads some of the rest in another
way. So it is only asked about patterns of a plain kind, which mean the same to both, and about ASCII texts. Everything
else is looked up text by text, in a memory of those seen before.
"""

import re
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.event_times import Mask
from streams.fields import RAW_SKU_LIMIT, canonical_sku

# Both bound the memory that remembered SKUs take.
_KNOWN_SKUS = 65_536
_KNOWN_SKU_LENGTH = 128

# Characters, `.`, `|`, groups, classes and digits, each perhaps repeated; not `{,9}`, which RE2 takes as it stands.
_ITEM = r"(?:[A-Za-z0-9_/ .|)-]|\((?:\?:)?(?!\?)|\\[d.-]|\[\^?[A-Za-z0-9._/ -]+\])"
_REPEATED = r"(?:(?:[*+?]|\{\d+(?:,\d*)?\})\??)?"
_PLAIN_PATTERN = re.compile(f"(?:{_ITEM}{_REPEATED})+")
_FIRST, _LAST = ord("!"), ord("`")  # of the ASCII characters that neither trimming nor upper case changes, all in a row

_matches = pc.match_substring_regex  # pyright: ignore[reportAttributeAccessIssue]: made at run time


class SkuCheck:
    """Judges a column of SKUs. What it remembers changes its speed and nothing else."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._anchored = f"^(?:{pattern})$" if _known_to_arrow(pattern) else None
        self._known: dict[str, str | None] = {}

    def __call__(self, texts: pa.Array) -> tuple[pa.Array, Mask | None]:
        """The canonical SKUs, and which of them are certain: those that have one and are not too long to be looked up.

        None where all are. Nulls are for the caller to judge.
        """
        if self._anchored is not None and _canonical_if_any(texts):
            certain = _matches(texts, self._anchored).fill_null(False).to_numpy(zero_copy_only=False)
            return texts, None if certain.all() else cast(Mask, certain)
        return self._looked_up(texts)

    def _looked_up(self, texts: pa.Array) -> tuple[pa.Array, Mask | None]:
        encoded = texts.dictionary_encode()
        distinct: list[str] = encoded.dictionary.to_pylist()
        known = self._remember(distinct)
        canonical = [known.get(text) for text in distinct]
        if canonical == distinct:
            return texts, None
        values = pa.array(canonical, pa.string()).take(encoded.indices)
        return values, values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None

    def _remember(self, distinct: list[str]) -> dict[str, str | None]:
        known = self._known
        if len(known) + len(distinct) > _KNOWN_SKUS:
            known = self._known = {}  # another thread may be reading the former
        for text in distinct:
            if text not in known and len(text) <= _KNOWN_SKU_LENGTH:
                known[text] = canonical_sku(text, self._pattern)
        return known


def _known_to_arrow(pattern: str) -> bool:
    """Whether RE2 takes the pattern, and means by it what Python means, as far as ASCII texts go."""
    if not _PLAIN_PATTERN.fullmatch(pattern):
        return False
    try:
        _matches(pa.array([""]), pattern)
    except pa.ArrowInvalid:  # such as a repetition beyond RE2's thousand
        return False
    return True


def _canonical_if_any(texts: pa.Array) -> bool:
    """Whether each text, if it has a canonical form at all, is in it: no character changes, and none is too long."""
    _, offsets, data = texts.buffers()
    bounds: npt.NDArray[np.int32] = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts) or bounds[0] == bounds[-1]:
        return False
    characters = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    return characters.min() >= _FIRST and characters.max() <= _LAST and np.diff(bounds).max() <= RAW_SKU_LIMIT
