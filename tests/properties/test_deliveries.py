"""The plan of deliveries over any history: whatever crashes, fails or is dropped, a sink ends up right."""

from enum import StrEnum

import msgspec
from delivery_world import TARGET, publish
from hand_made import open_database
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batcher.delivery import ledger
from batcher.delivery.chunks import Chunk, Progress
from batcher.runs import Run
from schemas.delivery import DeliveryChunk

CHUNK_SKUS = 3
#: What runs may say: few things, so that they come back.
CONTENTS = (
    dict.fromkeys("ABCDEFGH", 1),
    dict.fromkeys("ABCDEFGH", 2),
    {**dict.fromkeys("ABCDEFGH", 1), "B": 5},
    {**dict.fromkeys("BDFHJ", 1)},
    dict.fromkeys("CHIKZ", 1),
)


class Fate(StrEnum):
    """What becomes of a chunk; those marked + take effect."""

    WELL = "well"  # +
    UNTOUCHED = "untouched"
    CRASH = "crash"
    LATE_CRASH = "late crash"  # +
    FAILED = "failed"
    FAILED_LATE = "failed late"  # +
    DROPPED = "dropped"


_EFFECT = {Fate.WELL, Fate.LATE_CRASH, Fate.FAILED_LATE}
_PROGRESS = {
    Fate.WELL: Progress.ACKNOWLEDGED,
    Fate.CRASH: Progress.SENDING,
    Fate.LATE_CRASH: Progress.SENDING,
    Fate.FAILED: Progress.FAILED,
    Fate.FAILED_LATE: Progress.FAILED,
    Fate.DROPPED: Progress.DROPPED,
}
_FATES = strategies.lists(strategies.sampled_from(Fate), max_size=3)


class Deliveries(RuleBasedStateMachine):
    """A sink that applies each key once, as it is agreed, beside the ledger; runs that come back with the same id."""

    def __init__(self) -> None:
        super().__init__()
        self.database = open_database()
        self.wms: dict[str, int] = {}
        self.keys: dict[str, bytes] = {}  # that have taken effect, and of which body
        self.newest: tuple[Run, dict[str, int]] | None = None
        self.now_ms = 1_000

    def teardown(self) -> None:
        if self.newest:
            self.all_goes_well()
        self.database.close()

    @rule(lines=strategies.sampled_from(CONTENTS), clock=strategies.integers(-2, 2), fates=_FATES)
    def a_run_is_delivered(self, lines: dict[str, int], clock: int, fates: list[Fate]) -> None:
        """As far as it goes: chunks beyond `fates` go well.

        The id of a run is that of its content: one whose inputs come back has the id that it had before. Time goes by,
        or is set back.
        """
        run_id = msgspec.json.encode(sorted(lines.items())).decode()
        self.newest = publish(self.database, run_id, lines), lines
        self.now_ms += clock
        self._session(fates)

    @precondition(lambda self: self.newest is not None)
    @rule(fates=_FATES)
    def it_is_gone_on_with(self, fates: list[Fate]) -> None:
        """After a restart, or because an endpoint is back."""
        self._session(fates)

    @precondition(lambda self: self.newest is not None)
    @rule(fates=_FATES)
    def somebody_wants_everything(self, fates: list[Fate]) -> None:
        """A full synchronisation."""
        self._session(fates, request="person")

    @rule(lines=strategies.sampled_from(CONTENTS))
    def somebody_else_has_the_site(self, lines: dict[str, int]) -> None:
        """Another worker delivers a run, and this one takes the site back: nothing is known of the sink any more."""
        self.wms = dict(lines)
        self.database.change(lambda c: ledger.doubt(c, [TARGET.site_id]))

    @precondition(lambda self: self.newest is not None)
    @rule()
    def all_goes_well(self) -> None:
        """From any state, at most one more delivery after the one in hand leads to the run."""
        self._session([])
        planned = self.database.ask(lambda c: ledger.planned(c, TARGET))
        if planned and planned.chunks:  # some had failed before: they wait for a newer run, or for a person
            self._session([], request="again")
        assert self.database.ask(lambda c: ledger.acknowledged_run(c, TARGET)) == self.newest[0].run_id
        assert self.wms == self.newest[1]

    @invariant()
    def once_all_is_acknowledged_the_sink_has_the_run(self) -> None:
        """Then the sink's rows are the newest run's, no more and no less, and the same again would send nothing."""
        planned = self.database.ask(lambda c: ledger.planned(c, TARGET))
        had = self.database.ask(lambda c: ledger.acknowledged_run(c, TARGET))
        if self.newest and planned and planned.chunks == 0 and had == planned.run_id == self.newest[0].run_id:
            assert self.wms == self.newest[1]

    def _session(self, fates: list[Fate], request: str | None = None) -> None:
        """As a courier does it: what is in hand is gone on with where it is of the newest run."""
        assert self.newest
        run, planned = self.newest[0], self.database.ask(lambda c: ledger.planned(c, TARGET))
        if planned is None or planned.run_id != run.run_id or request:
            values = {"chunk_skus": CHUNK_SKUS, "now_ms": self.now_ms, "request": request}
            self.database.change(lambda c: ledger.plan(c, TARGET, run, **values))
        for number, chunk in enumerate(self.database.ask(lambda c: ledger.unsettled(c, TARGET))):
            fate = fates[number] if number < len(fates) else Fate.WELL
            if fate in _EFFECT:
                self._apply(chunk)
            if progress := _PROGRESS.get(fate):
                self.database.change(lambda c, to=(chunk, progress): ledger.move(c, *to, attempts=1))
        self.database.change(lambda c: ledger.finish(c, TARGET, self.now_ms))

    def _apply(self, chunk: Chunk) -> None:
        body = self.database.ask(lambda c: ledger.body(c, chunk))
        assert body is not None
        if chunk.key in self.keys:
            assert self.keys[chunk.key] == body, "one key, two bodies"
            return
        self.keys[chunk.key] = body
        told = msgspec.json.decode(body, type=DeliveryChunk)
        assert (len(told.rows), len(told.removed)) == (chunk.rows, chunk.removed)
        assert len(told.rows) + len(told.removed) <= CHUNK_SKUS
        self.wms = {sku: n for sku, n in self.wms.items() if not any(span.holds(sku) for span in told.covers)}
        for row in told.rows:
            self.wms[row.sku] = row.order_lines
        for sku in told.removed:
            self.wms.pop(sku, None)


Deliveries.TestCase.settings = settings(max_examples=25, stateful_step_count=7, deadline=None)
test_deliveries = Deliveries.TestCase
