"""A partition of the batches topic that this worker owns, and with it the sites whose manifests are there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batcher.manifests import Announced, Progress
from batcher.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the coefficients topic holds of a partition's sites: the newest value by key.

    `complete_until` is until when sites are complete by what was calculated from the present batches topic.
    """

    values: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    complete_until: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """`end` is where the log ended when the partition was taken over: it is ready once that has been taken.

    `baseline` is what the coefficients topic held of its sites then. Once the partition is ready the database
    goes by it, and it is empty.
    A partition that was `dropped` stays so: taking it over again makes another one.
    """

    number: int
    publisher: Publisher
    progress: Progress
    end: int
    baseline: Baseline
    ready: bool = False
    dropped: bool = False

    @property
    def catching_up(self) -> str:
        """Under which key readiness says that it is not ready."""
        return f"catch-up of partition {self.number}"

    @property
    def publication(self) -> str:
        """Under which key readiness says that its coefficients cannot be published."""
        return f"publication of partition {self.number}"

    @property
    def reasons(self) -> tuple[str, ...]:
        """All keys under which readiness speaks of it."""
        return f"partition {self.number}", self.catching_up, self.publication

    @property
    def remaining(self) -> int:
        """Offsets to take until it has caught up; batches on hold do not count."""
        return max(0, self.end - self.progress.next_unheld())


@dataclass(frozen=True, slots=True)
class Parcel:
    """A manifest on its way into the database, for the partition as it is owned now."""

    owned: OwnedPartition
    announced: Announced

    @property
    def site_id(self) -> str:
        """The site of its batch."""
        return self.announced.site_id

    @property
    def batch_id(self) -> str:
        """Its batch."""
        return self.announced.manifest.batch_id
