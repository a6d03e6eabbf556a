"""A replay under way: letters go back to where they came from, repaired or as they are, each once.

The records of a portion and the audit entries that say where they went are one transaction of the audit log's writer.
A second replay fences the first, and what a killed one did not commit was never sent. So a replay can be stopped,
paused or killed at any moment: run again, it sends the rest.

The first `canary` records are followed to their verdicts before any other is sent; the verdicts on the rest are
followed, too. Where more than the allowed share fails again, or cannot be repaired, the replay ends.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from time import monotonic

from console.audit_log import AuditLog
from console.desk.acts import RUN, ActBook
from console.desk.portion import Desk, Portion
from console.desk.repair import Schemas
from console.desk.replay_limits import FEWEST, failed_share, unrepairable_share
from console.desk.replay_order import ENDED, ReplayOrder, ReplayProgress, State, Tally
from console.desk.verdict_follower import VerdictFollower
from console.desk.verdicts import Verdicts
from console.errors import CommandFailed
from console.who import who
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter
from schemas.records import AuditEntry
from streams.intake_rules import IntakeRules

LOOK_S = 0.2  # how often a waiting replay looks whether there is news
NO_VERDICTS = "no verdict came within {0:g} s on {1}: is a stream worker running there? {2}"
REST = "What was sent is in the audit log; run the same command to send the rest."


class _Ended(Exception):
    """The replay ends here, in this state, for this reason."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class ReplayJob:
    """Make one, `run` it once. `pause`, `resume` and `stop` take effect between transactions; `watch` shows it live."""

    def __init__(
        self,
        settings: Settings,
        order: ReplayOrder,
        letters: AsyncGenerator[DeadLetter, None],
        actor: str | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.tally, self.verdicts = Tally(), Verdicts()
        self._settings, self._order, self._letters = settings, order, letters
        self._actor = actor or who()
        self._book = ActBook()
        self._follower: VerdictFollower | None = None
        self._watching_others = self._overtaken = False
        self._state, self._reason = State.READY, ""
        self._paused = self._stopping = False
        self._began = self._idle_s = 0.0

    # -- what others see and say ---------------------------------------------------------------------------------------

    @property
    def progress(self) -> ReplayProgress:
        """Where it is now."""
        tally, took_s = self.tally, monotonic() - self._began if self._began else 0.0
        return ReplayProgress(
            state=State.PAUSED if self._paused and self._state not in ENDED else self._state,
            reason=self._reason,
            sent=tally.sent,
            skipped=len(tally.leftovers),
            parked=tally.parked,
            unrepairable=tally.unrepairable,
            elsewhere=tally.elsewhere + tally.unmatched,
            judged=self.verdicts.judged,
            failed_again=self.verdicts.failed,
            rate=round(tally.sent / took_s, 1) if took_s > 0 else 0.0,
        )

    async def watch(self, every_s: float = 0.5) -> AsyncIterator[ReplayProgress]:
        """Snapshots: one now, one whenever something has changed, and the last when it has ended."""
        last = None
        while last is None or last.state not in ENDED:
            now = self.progress
            if now != last:
                last = now
                yield now
            else:
                await asyncio.sleep(every_s)

    def pause(self) -> None:
        """Send nothing more until `resume`; the transaction in hand is finished."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False

    def stop(self) -> None:
        """End it after the transaction in hand; the rest of the letters waits as before."""
        self._stopping = True

    # -- the run -------------------------------------------------------------------------------------------------------

    async def run(self) -> ReplayProgress:
        """Send what is to be sent; how it ended is the state of the snapshot that is returned.

        Raises:
            CommandFailed: another replay has taken over; what was committed is not sent again.
            KafkaError: the broker refused, or the outcome is unknown; running again is safe.
        """
        try:
            async with AsyncExitStack() as stack:
                log = await stack.enter_async_context(AuditLog(self._settings, self._take))
                self._watching_others = True
                if self._order.canary or self._order.follow:
                    follower = VerdictFollower(self._settings, self.verdicts)
                    self._follower = await stack.enter_async_context(follower)
                await self._send_all(log)
            self._end(State.DONE, "")
        except _Ended as end:
            self._end(end.state, str(end))
        except BaseException as error:
            self._end(State.FAILED, str(error) or type(error).__name__)
            raise
        return self.progress

    def _end(self, state: State, reason: str) -> None:
        self._state, self._reason = state, reason

    def _take(self, entry: AuditEntry) -> None:
        self._book.take(entry)
        self._overtaken |= self._watching_others and entry.action == "replay" and entry.what.get(RUN) != self.id

    async def _refuse_if_overtaken(self) -> None:
        if self._overtaken:
            raise CommandFailed("another replay has taken over; run this one again to send what that one does not")

    async def _send_all(self, log: AuditLog) -> None:
        self._state, self._began = State.SENDING, monotonic()
        desk = await self._desk()
        canary = self._order.canary
        portion = Portion(desk, canary or self._most())
        async with aclosing(self._letters) as letters:
            async for letter in letters:
                self._leave_if_stopped()
                portion.add(letter)
                if portion.full:
                    await self._send(log, portion)
                    if canary:
                        await self._judge_canary()
                        canary = 0
                    portion = Portion(desk, self._most())
        await self._send(log, portion)
        if self._order.follow:
            self._state = State.FOLLOWING
            await self._until_judged(None)

    async def _desk(self) -> Desk:
        schemas: Schemas = {}
        if self._order.recipe is not None:
            schemas = (await asyncio.to_thread(IntakeRules.from_settings, self._settings.intake)).avro_schemas
        return Desk(self._settings, self._order, self._book, self.tally, schemas, self.id, self._actor)

    def _most(self) -> int:
        """Records of one transaction: of a second at most, where there is a rate."""
        most = self._settings.desk.per_transaction
        return most if self._order.rate is None else max(1, min(most, int(self._order.rate)))

    async def _send(self, log: AuditLog, portion: Portion) -> None:
        self._refuse()
        await self._when_allowed()
        if portion.empty:
            return
        await log.commit(portion.send, self._refuse_if_overtaken)
        portion.count()
        for place in portion.places:
            self.verdicts.expect(place)
        if self._follower is not None:
            self._follower.check()

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _when_allowed(self) -> None:
        """Wait out a pause and the rate.

        Raises:
            _Ended: it is to stop.
        """
        while not self._stopping:
            if self._paused:
                await self._idle(LOOK_S)
            elif self._order.rate and self.tally.sent > (monotonic() - self._began - self._idle_s) * self._order.rate:
                await asyncio.sleep(min(LOOK_S, 1 / self._order.rate))
            else:
                return
        self._leave_if_stopped()

    def _leave_if_stopped(self) -> None:
        if self._stopping:
            raise _Ended(State.STOPPED, f"stopped. {REST}")

    async def _idle(self, seconds: float) -> None:
        """Time in which nothing is to be sent does not count for the rate."""
        await asyncio.sleep(seconds)
        self._idle_s += seconds

    async def _judge_canary(self) -> None:
        self._state = State.CANARY
        await self._until_judged(self._order.verdict_timeout_s)
        self._refuse(fewest=1)
        self._state = State.SENDING

    async def _until_judged(self, within_s: float | None) -> None:
        """Wait for all verdicts that are outstanding.

        Raises:
            _Ended: they do not come, too many have failed, or it is to stop.
        """
        deadline = monotonic() + within_s if within_s else None
        while self.verdicts.outstanding:
            if self._follower is not None:
                self._follower.check()
            self._leave_if_stopped()
            if deadline is not None and monotonic() > deadline:
                named = ", ".join(self.verdicts.partitions)
                raise _Ended(State.ABORTED, NO_VERDICTS.format(within_s, named, REST))
            if self._state is not State.FOLLOWING:  # then there is nothing left that could be kept back
                self._refuse()
            await self._idle(LOOK_S)

    def _refuse(self, fewest: int = FEWEST) -> None:
        """
        Raises:
            _Ended: too large a share cannot be repaired, or has failed again.
        """
        broken = unrepairable_share(self.tally, self._order) or failed_share(self.verdicts, self._order, fewest)
        if broken is not None:
            raise _Ended(State.ABORTED, f"{broken}. {REST}")
