"""Topics on the broker: read them, refuse to start, put them right."""

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from runtime.connections import REQUEST_TIMEOUT_S, admin_client
from runtime.refusals import TopicRefused
from runtime.settings import Settings
from runtime.topic_plan import Difference, Remedy, TopicFacts, TopicPlan, plan
from schemas.topics import TopicSpec


def plan_topics(settings: Settings) -> TopicPlan:
    """Compare the broker's topics with what they should be. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    return plan(settings, read_topics(settings))


def check_topics(settings: Settings) -> None:
    """What both workers do at their start. Blocks.

    Raises:
        TopicRefused: topics are missing, or their settings endanger data; names each.
        KafkaException: the brokers do not answer.
    """
    dangers = plan_topics(settings).dangers
    if not dangers:
        return
    lines = "".join(f"\n  - {danger}" for danger in dangers)
    by_hand = any(danger.remedy is Remedy.NONE for danger in dangers)
    hint = " A number of partitions cannot be put right: use other topics (VELOCITY_TOPICS__PREFIX)." if by_hand else ""
    raise TopicRefused(f"these topics endanger data:{lines}\nRun `velocity topics apply`.{hint}")


def read_topics(settings: Settings) -> dict[str, TopicFacts]:
    """What the broker has of our topics, by name; a missing one is left out. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    admin = admin_client(settings.kafka)
    known = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    names = [name for name, _ in settings.topic_specs() if name in known]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers = admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S) if resources else {}
    configs: dict[str, dict[str, str] | None] = {}
    for resource, answer in answers.items():
        try:
            configs[resource.name] = {name: entry.value for name, entry in answer.result().items()}
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
            configs[resource.name] = None
    return {name: TopicFacts(name, len(known[name].partitions), configs[name]) for name in names}


def apply(settings: Settings, differences: Sequence[Difference]) -> None:
    """Create, alter and grow; what has to be done by hand is left. Blocks until it has taken effect.

    Raises:
        KafkaException: the broker refused; what was done before stays done.
        TimeoutError: it has not after 15 s.
    """
    admin = admin_client(settings.kafka)
    specs = dict(settings.topic_specs())
    by_remedy = {remedy: [d for d in differences if d.remedy is remedy] for remedy in Remedy}
    missing = [difference.topic for difference in by_remedy[Remedy.CREATE]]
    _create(admin, settings, [(name, specs[name]) for name in missing])
    _alter(admin, by_remedy[Remedy.ALTER])
    _grow(admin, by_remedy[Remedy.GROW])
    _await_effect(admin, settings, [d for d in differences if d.remedy is not Remedy.NONE])


def _create(admin: AdminClient, settings: Settings, missing: Sequence[tuple[str, TopicSpec]]) -> None:
    topics = [
        NewTopic(
            name,
            num_partitions=settings.topics.partition_count(spec),
            replication_factor=settings.topics.replication_factor,
            config={**spec.required, **spec.advised},
        )
        for name, spec in missing
    ]
    created = admin.create_topics(topics, operation_timeout=REQUEST_TIMEOUT_S) if topics else {}
    for answer in created.values():
        try:
            answer.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else applies at the same time
                raise


def _await_effect(admin: AdminClient, settings: Settings, applied: Sequence[Difference]) -> None:
    """What the controller has accepted, the brokers know a moment later."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while applied:
        known = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        left = {(difference.topic, difference.what) for difference in plan_topics(settings).differences}
        late = [d for d in applied if (d.topic, d.what) in left or not _has_leaders(known.get(d.topic))]
        if not late:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"applied, but without effect after {REQUEST_TIMEOUT_S:.0f} s: {late[0]}")
        time.sleep(0.05)


def _has_leaders(topic: TopicMetadata | None) -> bool:
    return topic is not None and all(partition.leader >= 0 for partition in topic.partitions.values())


def _alter(admin: AdminClient, differences: Sequence[Difference]) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for wish in differences:
        entry = ConfigEntry(wish.what, wish.wanted, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(wish.topic, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes) for name, changes in entries.items()
    ]
    altered = admin.incremental_alter_configs(resources, request_timeout=REQUEST_TIMEOUT_S) if resources else {}
    for answer in altered.values():
        answer.result()


def _grow(admin: AdminClient, differences: Sequence[Difference]) -> None:
    wishes = [NewPartitions(wish.topic, int(wish.wanted)) for wish in differences]
    grown = admin.create_partitions(wishes, operation_timeout=REQUEST_TIMEOUT_S) if wishes else {}
    for answer in grown.values():
        answer.result()
