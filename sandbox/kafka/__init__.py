"""A real Apache Kafka on the loopback of a laptop: no container engine, no system Java.

`EmbeddedKafka` is for programs and tests; `start_broker`, `stop_broker` and `broker_status` stand behind
`velocity kafka start|stop|status`.
"""

from sandbox.kafka.broker import EmbeddedKafka, KafkaStartError
from sandbox.kafka.install import KafkaInstallError
from sandbox.kafka.properties import FAST_START_JVM, FULL_JVM
from sandbox.kafka.service import BrokerStatus, broker_status, default_data_dir, start_broker, stop_broker

__all__ = [
    "FAST_START_JVM",
    "FULL_JVM",
    "BrokerStatus",
    "EmbeddedKafka",
    "KafkaInstallError",
    "KafkaStartError",
    "broker_status",
    "default_data_dir",
    "start_broker",
    "stop_broker",
]
