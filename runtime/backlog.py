"""How far the batch workers are behind: manifests announced that their group has not taken."""

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from runtime.connections import REQUEST_TIMEOUT_S, admin_client
from runtime.settings import Settings
from schemas.topics import TopicRole


def batch_backlog(settings: Settings) -> int | None:
    """Manifests that wait, over all partitions; None while the brokers do not answer. Blocks.

    A partition of which the group has committed nothing counts from its start.
    """
    topic = settings.topics.name(TopicRole.BATCHES)
    admin = admin_client(settings.kafka)
    try:
        described = admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
        partitions = [TopicPartition(topic, number) for number in described.partitions]
        asked = ConsumerGroupTopicPartitions(settings.kafka.batch_group, partitions)
        group = admin.list_consumer_group_offsets([asked], request_timeout=REQUEST_TIMEOUT_S)
        taken = {tp.partition: tp.offset for tp in group[settings.kafka.batch_group].result().topic_partitions}
        ends = admin.list_offsets(
            dict.fromkeys(partitions, OffsetSpec.latest()),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        return sum(max(0, end.result().offset - max(0, taken[tp.partition])) for tp, end in ends.items())
    except (KafkaException, KeyError):
        return None
