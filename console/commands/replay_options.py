"""The options that say how letters are sent back, the same for `dlq fix` and `dlq replay`."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.commands.option_groups import taking

if TYPE_CHECKING:
    from console.desk.recipes import Recipe
    from console.desk.replay_order import ReplayOrder
    from runtime.settings import Settings

Rate = Annotated[float | None, typer.Option(min=0.1, help="At most this many records a second (desk.rate).")]
Canary = Annotated[
    int | None, typer.Option(min=0, help="Send so many first, and the rest only if those pass (desk.canary).")
]
AbortAbove = Annotated[
    float | None, typer.Option(min=0, max=1, help="End when a larger share fails again (desk.abort_above).")
]
Patience = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Wait so long for the canary's verdicts (desk.verdict_timeout).")
]
IncludeParked = Annotated[
    bool, typer.Option("--include-parked", help="Parked letters, too, however often they failed.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Stay until every record has its verdict.")]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Each field is an option of every command that is `sending`."""

    rate: Rate = None
    canary: Canary = None
    abort_above: AbortAbove = None
    verdict_timeout: Patience = None
    include_parked: IncludeParked = False
    follow: Follow = False

    def order(self, settings: "Settings", why: str, recipe: "Recipe | None" = None) -> "ReplayOrder":
        """What they mean; what is not given is as the settings have it.

        Raises:
            UsageError: the duration is none.
        """
        from console.desk.replay_order import ReplayOrder
        from console.times import parse_duration

        given: dict[str, Any] = {"rate": self.rate, "abort_above": self.abort_above}
        if self.verdict_timeout:
            given["verdict_timeout_s"] = parse_duration("--verdict-timeout", self.verdict_timeout).total_seconds()
        changes = {name: value for name, value in given.items() if value is not None}
        order = ReplayOrder.of(settings, why=why, recipe=recipe, canary=self.canary)
        return dataclasses.replace(order, include_parked=self.include_parked, follow=self.follow, **changes)


#: A command whose parameter `how` is made of the options.
sending = taking("how", ReplayOptions)
