"""What modules of metrics define, as it is exported."""

from types import ModuleType

from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def wrappers_of(module: ModuleType) -> list[MetricWrapperBase]:
    """The metrics that a module defines."""
    return [metric for metric in vars(module).values() if isinstance(metric, MetricWrapperBase)]


def families_of(module: ModuleType) -> list[Metric]:
    """These metrics, as they are exported."""
    return [family for metric in wrappers_of(module) for family in metric.describe()]


def series_of(*modules: ModuleType) -> set[str]:
    """The names of all series of modules."""
    families = [family for module in modules for family in families_of(module)]
    return {f"{family.name}{suffix}" for family in families for suffix in SUFFIXES[family.type]}
