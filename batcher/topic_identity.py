"""Whether a topic is still the same: a recreated one has another id, and other records at the same offsets."""

from confluent_kafka import TopicCollection

from batcher.database import Database
from runtime.connections import REQUEST_TIMEOUT_S, admin_client
from runtime.settings import KafkaSettings


def topic_id(kafka: KafkaSettings, topic: str) -> str:
    """The broker's id of a topic. Blocks.

    Raises:
        KafkaException: the brokers do not answer, or there is no such topic.
    """
    admin = admin_client(kafka)  # must outlive its futures
    futures = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_TIMEOUT_S)
    return str(futures[topic].result().topic_id)


def known_topic_id(database: Database, topic: str, found_id: str) -> str:
    """The id of the topic that the database was filled from; from now on `found_id`, if it was from none. Blocks."""
    known = database.topic_id(topic)
    if known is None:
        database.set_topic_id(topic, found_id)
    return known or found_id
