"""Topics as they are against topics as they should be. Pure: no broker is asked here.

A difference of a *required* setting, a missing topic, or a number of partitions that may not differ endangers data: no
worker starts with it. An *advised* one does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from runtime.settings import Settings
from schemas.sources import Source
from schemas.topics import DEAD_LETTER_HEADROOM, DEAD_LETTER_MAX_MESSAGE, TopicRole, TopicSpec

#: More than what is asked for does no harm, and -1 is without limit.
_AT_LEAST = frozenset({"max.message.bytes", "retention.ms", "retention.bytes"})
_UNLIMITED = -1
_MESSAGE_LIMIT = "max.message.bytes"


class Remedy(StrEnum):
    """What `apply` does about a difference."""

    CREATE = "create"
    ALTER = "alter"
    GROW = "grow"
    NONE = "by hand"


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the broker has it; `config` is None where we are not allowed to read it."""

    name: str
    partitions: int
    config: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as it should be. `what` is `topic`, `partitions` or a setting's name."""

    topic: str
    what: str
    found: str | None
    wanted: str
    endangers: bool
    remedy: Remedy
    is_source: bool = False

    def __str__(self) -> str:
        if self.remedy is Remedy.CREATE:
            return f"{self.topic} is missing"
        if self.what == "partitions":
            return f"{self.topic} has {self.found} partitions, not {self.wanted}"
        return f"{self.topic} has {self.what}={self.found}, not {self.wanted}"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """All differences, by topic. `unreadable` topics have settings that could not be compared."""

    differences: tuple[Difference, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def dangers(self) -> tuple[Difference, ...]:
        """Those with which no worker may start."""
        return tuple(difference for difference in self.differences if difference.endangers)


def plan(settings: Settings, found: Mapping[str, TopicFacts]) -> TopicPlan:
    """Compare every topic of ours with what the broker has of it, by name."""
    differences: list[Difference] = []
    unreadable: list[str] = []
    for name, wished in settings.topic_specs():
        spec, facts = _as_large_as_sources(settings, wished, found), found.get(name)
        if facts is None:
            wanted = f"partitions={settings.topics.partition_count(spec)}"
            differences.append(Difference(name, "topic", None, wanted, True, Remedy.CREATE, is_source(settings, name)))
            continue
        differences += _compare_partitions(settings, spec, facts)
        if facts.config is None:
            unreadable.append(name)
        else:
            differences += _compare_config(spec, facts, facts.config, is_source(settings, name))
    return TopicPlan(tuple(differences), tuple(unreadable))


def is_source(settings: Settings, topic: str) -> bool:
    """Whether a topic is one of the WMS's, not one of ours."""
    return topic in {settings.topics.source_topic(source) for source in Source}


def _as_large_as_sources(settings: Settings, spec: TopicSpec, found: Mapping[str, TopicFacts]) -> TopicSpec:
    """The dead-letter topic must take whatever its sources do, with the headers that say what was wrong."""
    if spec.role is not TopicRole.DEAD_LETTERS:
        return spec
    sources = [facts.config or {} for name, facts in found.items() if is_source(settings, name)]
    limits = [int(config[_MESSAGE_LIMIT]) + DEAD_LETTER_HEADROOM for config in sources if _MESSAGE_LIMIT in config]
    required = spec.required | {_MESSAGE_LIMIT: str(max([DEAD_LETTER_MAX_MESSAGE, *limits]))}
    return replace(spec, required=required)


def _compare_partitions(settings: Settings, spec: TopicSpec, facts: TopicFacts) -> list[Difference]:
    """A source topic has as many as its owner likes; only a number that was configured is a wish, to grow."""
    wanted = settings.topics.partition_count(spec)
    if spec.fixed_partitions and facts.partitions != wanted:
        return [Difference(facts.name, "partitions", str(facts.partitions), str(wanted), True, Remedy.NONE)]
    if spec.role in settings.topics.partitions and facts.partitions < wanted:
        found = str(facts.partitions)
        return [Difference(facts.name, "partitions", found, str(wanted), False, Remedy.GROW, is_source=True)]
    return []


def _compare_config(spec: TopicSpec, facts: TopicFacts, config: Mapping[str, str], source: bool) -> list[Difference]:
    wishes = [(name, value, True) for name, value in spec.required.items()]
    wishes += [(name, value, False) for name, value in spec.advised.items()]
    return [
        Difference(facts.name, name, config.get(name), wanted, endangers, Remedy.ALTER, source)
        for name, wanted, endangers in wishes
        if not _good_enough(name, config.get(name), wanted)
    ]


def _good_enough(name: str, found: str | None, wanted: str) -> bool:
    if found is None or name not in _AT_LEAST:
        return found == wanted
    if _UNLIMITED in (int(found), int(wanted)):
        return int(found) == _UNLIMITED
    return int(found) >= int(wanted)
