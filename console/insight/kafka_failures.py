"""What a broker's failures mean for who looks at a page."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from console.errors import CommandFailed
from runtime.settings import Settings


@contextmanager
def kafka_failures(settings: Settings) -> Iterator[None]:
    """
    Raises:
        CommandFailed: a topic is missing, or the brokers do not answer; says what to do.
    """
    try:
        yield
    except KeyError as error:
        raise CommandFailed(f"topic {error.args[0]} is missing: `velocity topics apply` makes it") from error
    except (KafkaError, KafkaException) as error:
        where = settings.kafka.bootstrap_servers
        raise CommandFailed(f"Kafka at {where} does not answer ({type(error).__name__}): is it running?") from error
