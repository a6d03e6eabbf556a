"""`velocity topics`: what the broker has against what it should have."""

from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of

if TYPE_CHECKING:
    from runtime.topic_plan import Difference, TopicPlan

app = Commands(help="Topics: what the broker has against what it should have.")

LeaveSources = Annotated[
    bool, typer.Option("--leave-sources", help="Leave the settings of existing source topics to their owners.")
]


@app.command()
def plan(ctx: typer.Context, json: Json = False, leave_sources: LeaveSources = False) -> None:
    """Show what `topics apply` would do. Exit 0: nothing; 1: something.

    A difference that "endangers data" keeps the workers from starting; an "advised" one does not. Source topics
    should be stamped by the broker (LogAppendTime): an event is refused for being later than its record's timestamp,
    and with CreateTime a producer's wrong clock decides that.

    \b
    Example:
      velocity topics plan
    """
    from runtime.topics import plan_topics

    found = plan_topics(settings_of(ctx))
    differences = _chosen(found, leave_sources)
    if json:
        screen.say_json({"differences": differences, "unreadable": found.unreadable})
    else:
        _show(found, differences)
    raise typer.Exit(1 if differences else 0)


@app.command()
def apply(ctx: typer.Context, leave_sources: LeaveSources = False) -> None:
    """Create missing topics and put settings right, as `topics plan` shows. Running it again does nothing.

    Data are never removed and no topic gets fewer partitions. Topics of which the number of partitions may not
    differ (such as the batches) are refused: exit 3.

    \b
    Examples:
      velocity topics apply
      VELOCITY_TOPICS__REPLICATION_FACTOR=3 velocity topics apply --leave-sources
    """
    from runtime.refusals import TopicRefused
    from runtime.topic_plan import Remedy
    from runtime.topics import apply as apply_topics
    from runtime.topics import plan_topics

    settings = settings_of(ctx)
    differences = _chosen(plan_topics(settings), leave_sources)
    by_hand = [difference for difference in differences if difference.remedy is Remedy.NONE]
    if by_hand:
        lines = "".join(f"\n  - {difference}" for difference in by_hand)
        raise TopicRefused(
            f"nothing was done: a number of partitions cannot be put right without moving keys.{lines}\n"
            "Use other topics: VELOCITY_TOPICS__PREFIX, or a name such as VELOCITY_TOPICS__BATCHES."
        )
    apply_topics(settings, differences)
    for difference in differences:
        screen.say(f"{difference.remedy.value:7} {_done(difference)}")
    screen.say("topics are as they should be" if not differences else f"{len(differences)} changes applied")


def _chosen(found: "TopicPlan", leave_sources: bool) -> "list[Difference]":
    """A missing source topic is ours to create; the settings of one that is there belong to its owner."""
    return [d for d in found.differences if not (leave_sources and d.is_source and d.what != "topic")]


def _show(found: "TopicPlan", differences: "list[Difference]") -> None:
    if differences:
        rows = [
            (d.remedy.value, d.topic, d.what, d.found or "missing", d.wanted, _weight(d.endangers)) for d in differences
        ]
        screen.say_table(("do", "topic", "what", "found", "wanted", "why"), rows)
    else:
        screen.say("topics are as they should be")
    for topic in found.unreadable:
        screen.remark(f"{topic}: we may not read its settings (DESCRIBE_CONFIGS), so they were not compared", "yellow")


def _weight(endangers: bool) -> str:
    return "endangers data" if endangers else "advised"


def _done(difference: "Difference") -> str:
    if difference.what == "topic":
        return f"{difference.topic} ({difference.wanted})"
    return f"{difference.topic} {difference.what}: {difference.found} -> {difference.wanted}"
