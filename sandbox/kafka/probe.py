"""What can be learnt from outside: does a broker answer, and is a port free?"""

import random
import socket

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sandbox.kafka.properties import HOST

#: Below the range clients draw their own ports from: a client that keeps reconnecting to a stopped broker's port out of
#: that range ends up connected to itself, and the broker cannot have its port back.
PORTS = range(20_000, 32_000)


def answers(port: int, cluster_id: str | None, timeout_s: float) -> bool:
    """Whether the broker of that cluster answers metadata requests at the port and counts itself as alive."""
    admin = AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0, "reconnect.backoff.max.ms": 100})
    try:
        metadata = admin.list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    return metadata.cluster_id == cluster_id and bool(metadata.brokers)


def free_port(excluding: int | None = None) -> int:
    """A port of the loopback in `PORTS` that nobody listens on just now.

    Raises:
        OSError: none was found.
    """
    candidates = random.SystemRandom().sample(PORTS, 500)
    port = next((port for port in candidates if port != excluding and is_free(port)), None)
    if port is None:
        raise OSError(f"no free port between {PORTS.start} and {PORTS.stop}")
    return port


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
