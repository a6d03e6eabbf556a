"""Following drain requests: the control topic, read from its start, so that a worker that starts late sees them too."""

from dataclasses import dataclass, field

from schemas.records import ControlRecord


@dataclass(frozen=True, slots=True)
class DrainRequest:
    """A drain under way: close everything up to `close_to` once a partition has come to its end offset."""

    id: str
    ends: dict[str, int]
    close_to: int | None = None
    closable: bool = False


@dataclass(slots=True)
class DrainLog:
    """What the control records so far ask for: at most one drain at a time, the newest that is not done."""

    current: DrainRequest | None = None
    done: set[str] = field(default_factory=set[str])
    stop: bool = False

    def apply(self, record: ControlRecord, *, live: bool) -> None:
        """Take one record; `live` ones were written after this worker started, and only they can stop it."""
        if record.phase == "done":
            self.done.add(record.id)
            self.stop = self.stop or (live and record.stop)
            if self.current and self.current.id == record.id:
                self.current = None
        elif record.id in self.done:
            return
        elif record.phase == "request":
            self.current = DrainRequest(record.id, record.ends)
        elif self.current and self.current.id == record.id:
            self.current = DrainRequest(record.id, self.current.ends, record.close_to, closable=True)
