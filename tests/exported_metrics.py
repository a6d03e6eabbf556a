"""What both workers export, from the modules that define it."""

from types import ModuleType

from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

import batcher.metrics
import streams.metrics


def families_of(module: ModuleType) -> list[Metric]:
    """The metrics that a module defines."""
    metrics = [metric for metric in vars(module).values() if isinstance(metric, MetricWrapperBase)]
    return [family for metric in metrics for family in metric.describe()]


def exported_names() -> set[str]:
    """Every series that the workers export."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    families = [*families_of(streams.metrics), *families_of(batcher.metrics)]
    return {f"{family.name}{suffix}" for family in families for suffix in suffixes[family.type]}
