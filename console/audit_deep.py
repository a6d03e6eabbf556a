"""The deep audit of one source partition: file by file and offset by offset. Pure: files and offsets are handed in.

Every offset that the source delivered below the checkpoint's position must be in exactly one of batch, correction, dead
letter and open window. Batches, corrections and dead letters name their offsets; open windows are known by count and
hash, so what the others leave over must have that count and that hash.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from console.audit import Problem, open_records
from console.batch_content import BatchContent
from console.evidence import Announced, Offsets, PartitionEvidence
from console.offset_ledger import Claim, OffsetLedger, odd_one_out, outside
from schemas.offsets import add_hashes, offsets_hash
from schemas.records import BatchKind

_CLAIMS = {BatchKind.ON_TIME: Claim.BATCH, BatchKind.CORRECTION: Claim.CORRECTION}


class PartitionAudit:
    """Enter files, then compare with the source. `problems` and `notes` collect what is found."""

    def __init__(self, part: PartitionEvidence) -> None:
        self.part = part
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._ledger = OffsetLedger(_base(part), part.frontier.position)
        self._entered: list[Announced] = []
        self._unread: list[Announced] = []
        self._enter_dead_letters()

    @property
    def retained(self) -> tuple[int, int]:
        """Offsets `[start, end)` that can be compared with the source; an empty range if none can."""
        frontier, log = self.part.frontier, self.part.log
        if log is None or log.topic_id != frontier.topic_id or log.end < frontier.position:
            return 0, 0
        return log.start, max(log.start, frontier.position)

    def enter(self, announced: Announced, content: BatchContent) -> Offsets:
        """Claim the offsets of a batch; returns those that something else had claimed before."""
        claim = _CLAIMS[announced.manifest.kind]
        twice, astray = self._ledger.enter(np.unique(content.offsets), claim)
        if len(astray):
            what = f"batch {announced.manifest.batch_id} holds offset {astray[0]}, which the checkpoint had not reached"
            self._report(what, int(astray[0]))
        self._entered.append(announced)
        return twice

    def enter_unread(self, announced: Announced) -> None:
        """A batch whose file cannot tell its offsets."""
        self._unread.append(announced)

    def report_doubled(self, announced: Announced, twice: Offsets, other: str) -> None:
        """Offsets of a batch are also somewhere else."""
        what = f"offset {twice[0]} is in batch {announced.manifest.batch_id} and also in {other}{_and_more(twice)}"
        self._report(what, int(twice[0]))

    def candidates(self, offset: int) -> list[Announced]:
        """Batches entered so far that may hold an offset."""
        return [a for a in self._entered if a.manifest.first_offset <= offset <= a.manifest.last_offset]

    def compare(self, delivered: Iterable[Offsets]) -> None:
        """Hold what the source delivers of `retained` against the claims."""
        left_over = [self._ledger.deliver(offsets) for offsets in delivered]
        start, end = self.retained
        if start == end:
            self.notes.append(
                f"{self.part.key}: none of its records is retained, so nothing was compared with the source"
            )
            return
        phantoms = self._ledger.never_delivered(start)
        if len(phantoms):
            what = f"offset {phantoms[0]} was batched, but the source has no such record{_and_more(phantoms)}"
            self._report(what, int(phantoms[0]))
        self._judge(np.concatenate([np.empty(0, np.int64), *left_over]))

    def _judge(self, left: Offsets) -> None:
        """Whether the offsets that nothing claims are those of the open windows."""
        frontier, still_open = self.part.frontier, open_records(self.part)
        if self.part.log is not None and self.part.log.start > frontier.committed and still_open:
            self.notes.append(f"{self.part.key}: open windows began before the retained part and were not compared")
            return
        unread = sum(announced.manifest.record_count for announced in self._unread)
        expired = self._expired(len(left) - still_open - unread)
        if len(left) == still_open + expired + unread and (expired or unread or self._is_open(left)):
            return
        ranges = [(a.manifest.first_offset, a.manifest.last_offset) for a in self._unread]
        self._name_lost(outside(left, ranges), still_open + expired, len(left) - still_open - expired - unread)

    def _expired(self, surplus: int) -> int:
        """How many dead letters that have expired are among the offsets that the source still delivers.

        All, unless the source has removed offsets, too: then as many as are left over, up to all.
        """
        expired = max(0, self.part.frontier.counts.dead - self._ledger.claimed(Claim.DEAD_LETTER))
        if self.part.log is None or self.part.log.start == 0:
            return expired
        return min(expired, max(0, surplus))

    def _is_open(self, left: Offsets) -> bool:
        return offsets_hash(left) == self._open_hash

    @property
    def _open_hash(self) -> int:
        return add_hashes(int(window.offsets_hash, 16) for window in self.part.frontier.open_windows)

    def _name_lost(self, left: Offsets, expected: int, surplus: int) -> None:
        """Say which offsets are nowhere. Below the committed offset no window can be open."""
        nowhere = "was delivered and is in no batch, correction, dead letter or open window"
        lost = left[left < self.part.frontier.committed]
        odd = odd_one_out(left, self._open_hash) if surplus == 1 and not len(lost) else None
        if len(lost):
            self._report(f"offset {lost[0]} {nowhere}{_and_more(lost)}", int(lost[0]))
        elif odd is not None:
            self._report(f"offset {odd} {nowhere}", odd)
        elif surplus > 0 and len(left):
            span = f"of the {len(left):,} offsets from {left[0]} to {left[-1]} that are left for open windows"
            self._report(f"{surplus:,} {span} are in none: these hold {expected:,}", int(left[0]))
        elif surplus < 0:
            what = f"its open windows count {-surplus:,} records more than the source delivers for them"
            self._report(what, self.part.frontier.committed)
        else:
            self._report(
                "the offsets left for open windows are not those that were in them", self.part.frontier.committed
            )

    def _enter_dead_letters(self) -> None:
        self._ledger.enter(np.unique(self.part.dead_offsets), Claim.DEAD_LETTER)

    def _report(self, what: str, offset: int) -> None:
        self.problems.append(Problem(self.part.key, what, offset))


def _base(part: PartitionEvidence) -> int:
    """The lowest offset that anything speaks of."""
    firsts = [announced.manifest.first_offset for announced in part.announced]
    firsts += [window.first_offset for window in part.frontier.open_windows]
    firsts += [int(part.dead_offsets[0])] if len(part.dead_offsets) else []
    firsts += [part.log.start] if part.log is not None else []
    return min(firsts, default=part.frontier.position)


def _and_more(offsets: Offsets) -> str:
    return f" ({len(offsets) - 1:,} more up to {offsets[-1]})" if len(offsets) > 1 else ""


class IdTally:
    """Event ids that more than one record brought, within (source, site). Takes 8 bytes per record."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[str, str], list[Offsets]] = {}

    def add(self, announced: Announced, content: BatchContent) -> None:
        """Take the ids of one file."""
        manifest = announced.manifest
        self._hashes.setdefault((manifest.source.value, manifest.site_id), []).append(content.id_hashes)

    def counted_twice(self) -> int:
        """Records beyond the first of their id: the same fact sent again, or a conflict that the batcher reports."""
        return sum(_repeats(parts) for parts in self._hashes.values())


def _repeats(parts: Sequence[Offsets]) -> int:
    hashes = np.concatenate(parts)
    return len(hashes) - len(np.unique(hashes))
