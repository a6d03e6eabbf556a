"""A partition of the batches topic that this worker owns, and with it the sites whose manifests are there."""

from dataclasses import dataclass

from batcher.manifests import Announced, Progress
from batcher.publisher import Publisher


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """`end` is where the log ended when the partition was taken over: it is ready once that has been taken.

    `baseline` is what the coefficients topic held of its sites then, by key; None once the database goes by it. Until
    then its sites wait to be calculated, since `waiting_since` on the monotonic clock.
    `marked`: the group knows that its sites are at home in this worker's database; only then they are delivered.
    A partition that was `dropped` stays so: taking it over again makes another one.
    """

    number: int
    publisher: Publisher
    progress: Progress
    end: int
    baseline: dict[str, bytes] | None
    ready: bool = False
    dropped: bool = False
    marked: bool = False
    waiting_since: float | None = None

    @property
    def catching_up(self) -> str:
        """Under which key readiness says that it is not ready."""
        return f"catch-up of partition {self.number}"

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
