"""What would become of letters that a recipe repairs: each goes through the same gate as a record of the source.

The gate is the intake of the stream stage, with the rules of the settings that this process has and the present moment
as the record's Kafka timestamp. Nothing is sent.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from time import time_ns

from console.desk.act_log import read_book
from console.desk.differences import Change, changes
from console.desk.portion import Desk, Item, Portion
from console.desk.replay_order import ReplayOrder, Tally
from console.frontier_board import read_frontiers
from runtime.settings import Settings
from runtime.sites import site_windows
from schemas.dead_letters import DeadLetter
from schemas.records import Frontier, Window, partition_key
from schemas.sources import FIELDS, Source
from schemas.windows import SiteWindows
from streams.intake import Fault, Intake, Row
from streams.intake_rules import IntakeRules

BREATH = 100  # letters after which the event loop has its turn
BEYOND_ANY = 1 << 62


@dataclass(slots=True)
class StillFails:
    """Repaired records that the gate refuses for the same reason; one of them as a sample."""

    error_class: str
    path: str
    letters: int
    sample: str
    message: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What the recipe changes in one record."""

    letter_id: str
    changes: list[Change]


@dataclass(slots=True)
class Corrected:
    """A window of a site that is closed: what falls into it becomes a correction."""

    site: str
    window: Window
    records: int = 0
    skus: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class DryRun:
    """The answer. `tally` has what would not be sent, and why; `repeated_ids` counts event ids that came before."""

    tally: Tally = field(default_factory=Tally)
    fixed: int = 0
    parked: int = 0
    failures: dict[tuple[str, str], StillFails] = field(default_factory=dict[tuple[str, str], StillFails])
    differences: list[Difference] = field(default_factory=list[Difference])
    corrected: dict[tuple[str, int], Corrected] = field(default_factory=dict[tuple[str, int], Corrected])
    on_time: int = 0
    repeated_ids: int = 0

    @property
    def still_failing(self) -> int:
        """Repaired records that the gate refuses."""
        return sum(one.letters for one in self.failures.values())

    @property
    def corrected_skus(self) -> int:
        """Pairs of site and SKU of which closed windows would be corrected."""
        return len({(one.site, sku) for one in self.corrected.values() for sku in one.skus})


async def dry_run(
    settings: Settings,
    order: ReplayOrder,
    letters: AsyncGenerator[DeadLetter, None],
    *,
    samples: int = 5,
    on_progress: Callable[[int], None] = lambda done: None,
) -> DryRun:
    """Repair and judge every letter that would be sent; `samples` differences are kept.

    Raises:
        SettingsRefused: the intake's or the sites' settings are wrong here.
        RecordUnreadable: there is something else among the audit log's or the frontiers' records.
    """
    rules = await asyncio.to_thread(IntakeRules.from_settings, settings.intake)
    frontiers, book = await read_frontiers(settings), await read_book(settings)
    result = DryRun()
    desk = Desk(settings, order, book, result.tally, rules.avro_schemas, "", "")
    trial = _Trial(desk, result, rules, frontiers, site_windows(settings), samples)
    portion, seen, done = Portion(desk, BEYOND_ANY), set[str](), 0
    async with aclosing(letters):
        async for letter in letters:
            done += 1
            if letter.id not in seen:
                seen.add(letter.id)
                portion.add(letter)
                trial.judge(portion.take())
            if done % BREATH == 0:
                on_progress(done)
                await asyncio.sleep(0)
    on_progress(done)
    return result


class _Trial:
    """Judges repaired records, and notes what they would do."""

    def __init__(
        self,
        desk: Desk,
        result: DryRun,
        rules: IntakeRules,
        frontiers: dict[str, Frontier],
        windows: SiteWindows,
        samples: int,
    ) -> None:
        self._desk, self._result, self._windows, self._samples = desk, result, windows, samples
        self._frontiers = {key: frontier.frontier for key, frontier in frontiers.items()}
        self._intakes = {source: Intake(source, rules) for source in Source}
        self._ids: set[tuple[Source, str, str]] = set()
        self._now_ms = time_ns() // 1_000_000

    def judge(self, items: list[Item]) -> None:
        """What the gate says of each."""
        for item in items:
            source = self._desk.source_of(item.letter.topic)
            if item.action == "park":
                self._result.parked += 1
            elif source is not None:
                self._judge(item, source)

    def _judge(self, item: Item, source: Source) -> None:
        result, letter = self._result, item.letter
        result.tally.by_class[letter.error_class.value] += 1
        if len(result.differences) < self._samples and item.value is not None and item.value != letter.value:
            result.differences.append(Difference(letter.id, changes(letter.value, item.value)))
        verdict = self._intakes[source].judge(item.value, self._now_ms)
        if isinstance(verdict, Fault):
            key = (verdict.error_class.value, verdict.path)
            kind = result.failures.setdefault(key, StillFails(*key, 0, letter.id, verdict.message))
            kind.letters += 1
        else:
            result.fixed += 1
            self._place(letter, source, verdict)

    def _place(self, letter: DeadLetter, source: Source, row: Row) -> None:
        event = dict(zip((one.name for one in FIELDS[source]), row, strict=True))
        site, sku, result = event["site_id"], event["sku"], self._result
        identity = (source, site, event["event_id"])
        result.repeated_ids += identity in self._ids
        self._ids.add(identity)
        window = self._windows.window_of(site, event["event_time"])
        frontier = self._frontiers.get(partition_key(letter.topic, letter.partition))
        if frontier is None or window.end > frontier:
            result.on_time += 1
            return
        corrected = result.corrected.setdefault((site, window.start), Corrected(site, window))
        corrected.records += 1
        corrected.skus.add(sku)
