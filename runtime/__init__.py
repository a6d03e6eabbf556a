"""What every process of ours needs to run: settings, the batch store, Kafka connections, logs, metrics, health."""

from importlib.metadata import version

VERSION = version("velocity-slotting")
