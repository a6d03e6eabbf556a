"""Whether a topic is still the same: a recreated one has another id, and other records at the same offsets."""

from batcher.database import Database


def known_topic_id(database: Database, topic: str, found_id: str) -> str:
    """The id of the topic that the database was filled from; from now on `found_id`, if it was from none. Blocks."""
    known = database.topic_id(topic)
    if known is None:
        database.set_topic_id(topic, found_id)
    return known or found_id
