"""The plan of deliveries over any history: whatever crashes, fails, is dropped or comes too late, a sink ends up right."""

import msgspec
from delivery_world import TARGET, publish
from hand_made import open_database
from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from batcher.delivery import ledger
from batcher.delivery.chunks import Chunk, Progress
from batcher.runs import Run
from schemas.delivery import DeliveryChunk

SKUS = tuple("ABCDEFGH")
CHUNK_SKUS = 3


class Deliveries(RuleBasedStateMachine):
    """A sink that applies each key once, as it is agreed, beside the ledger; runs that come back with the same id."""

    chunks = Bundle("chunks")

    def __init__(self) -> None:
        super().__init__()
        self.database = open_database()
        self.wms: dict[str, int] = {}
        self.keys: dict[str, bytes] = {}  # that have taken effect, and of which body
        self.newest: tuple[Run, dict[str, int]] | None = None
        self.request: str | None = None
        self.now_ms = 1_000

    def teardown(self) -> None:
        self.database.close()

    # -- what happens to the run ---------------------------------------------------------------------------------------

    @rule(lines=strategies.dictionaries(strategies.sampled_from(SKUS), strategies.integers(0, 1)))
    def calculate(self, lines: dict[str, int]) -> None:
        """The id of a run is that of its content: one whose inputs come back has the id that it had before."""
        run_id = msgspec.json.encode(sorted(lines.items())).decode()
        self.newest = publish(self.database, run_id, lines), lines

    @rule(clock=strategies.integers(-5, 5))
    def time_goes_by(self, clock: int) -> None:
        """Or is set back."""
        self.now_ms += clock

    @rule()
    def ask_for_everything(self) -> None:
        """Somebody wants a full synchronisation."""
        self.request = f"r{self.now_ms}"

    # -- what happens to the delivery ----------------------------------------------------------------------------------

    @precondition(lambda self: self.newest is not None)
    @rule()
    def plan(self) -> None:
        """As a courier begins: what is in hand is gone on with where it is of the newest run."""
        run, _ = self.newest or (None, {})
        assert run
        planned = self.database.ask(lambda c: ledger.planned(c, TARGET))
        if planned and planned.run_id == run.run_id and self.request is None:
            return
        values = {"chunk_skus": CHUNK_SKUS, "now_ms": self.now_ms, "request": self.request}
        self.database.change(lambda c: ledger.plan(c, TARGET, run, **values))
        self.request = None

    def _draw(self, data: strategies.DataObject) -> Chunk | None:
        waiting = self.database.ask(lambda c: ledger.unsettled(c, TARGET))
        return data.draw(strategies.sampled_from(waiting)) if waiting else None

    @rule(data=strategies.data(), effect=strategies.booleans(), outcome=strategies.sampled_from(tuple(Progress)[2:]))
    def send(self, data: strategies.DataObject, effect: bool, outcome: Progress) -> None:
        """A chunk is sent and takes effect or not; what is acknowledged has. A crash leaves it as `SENDING`."""
        chunk = self._draw(data)
        if chunk is None:
            return
        self._move(chunk, Progress.SENDING)
        if effect or outcome is Progress.ACKNOWLEDGED:
            self._apply(chunk)
        if data.draw(strategies.booleans(), label="crash"):
            return
        self._move(chunk, outcome)
        self.database.change(lambda c: ledger.finish(c, TARGET, self.now_ms))

    @rule()
    def somebody_else_had_the_site(self) -> None:
        """Nothing is known of the sink any more."""
        self.database.change(lambda c: ledger.doubt(c, [TARGET.site_id]))

    def _move(self, chunk: Chunk, progress: Progress) -> None:
        self.database.change(lambda c: ledger.move(c, chunk, progress, attempts=chunk.attempts + 1))

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
        for row in told.rows:
            self.wms[row.sku] = row.order_lines
        for sku in told.removed:
            self.wms.pop(sku, None)

    # -- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def once_all_is_acknowledged_the_sink_has_the_run(self) -> None:
        """Then the sink's rows are the newest run's, no more and no less."""
        had = self.database.ask(lambda c: ledger.acknowledged_run(c, TARGET))
        planned = self.database.ask(lambda c: ledger.planned(c, TARGET))
        if self.newest and planned and planned.chunks == 0 and had == planned.run_id == self.newest[0].run_id:
            assert self.wms == self.newest[1]

    @precondition(lambda self: self.newest is not None)
    @rule()
    def all_goes_well(self) -> None:
        """From any state, a newer run or a new request and no more trouble lead to the run."""
        planned = self.database.ask(lambda c: ledger.planned(c, TARGET))
        had = self.database.ask(lambda c: ledger.acknowledged_run(c, TARGET))
        if planned and had != planned.run_id and not self.database.ask(lambda c: ledger.unsettled(c, TARGET)):
            self.request = self.request or "again"  # chunks have failed: nothing happens before something new does
        self.plan()
        for chunk in self.database.ask(lambda c: ledger.unsettled(c, TARGET)):
            self._move(chunk, Progress.SENDING)
            self._apply(chunk)
            self._move(chunk, Progress.ACKNOWLEDGED)
        self.database.change(lambda c: ledger.finish(c, TARGET, self.now_ms))
        planned = self.database.ask(lambda c: ledger.planned(c, TARGET))
        if planned and planned.chunks:  # some had failed before
            self.request = "again"
            self.all_goes_well()
        assert self.newest
        assert self.wms == self.newest[1]


Deliveries.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
test_deliveries = Deliveries.TestCase
