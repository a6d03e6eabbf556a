"""Batches to velocity. `VelocityBatchProcessor` is for other programs: it asks the compute API for whole data sets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batcher.processor import VelocityBatchProcessor

__all__ = ["VelocityBatchProcessor"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: the pure modules of this package need no HTTP client."""
    if name != "VelocityBatchProcessor":
        raise AttributeError(f"module 'batcher' has no attribute {name!r}")
    from batcher.processor import VelocityBatchProcessor

    return VelocityBatchProcessor
