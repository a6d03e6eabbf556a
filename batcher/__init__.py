"""Batches to velocity. `VelocityBatchProcessor` is for other programs: it asks the compute API for whole data sets."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batcher.compute_client import Patience
    from batcher.processor import RunChanged, VelocityBatchProcessor

__all__ = ["Patience", "RunChanged", "VelocityBatchProcessor"]

_HOMES = {
    "Patience": "batcher.compute_client",
    "RunChanged": "batcher.processor",
    "VelocityBatchProcessor": "batcher.processor",
}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: the pure modules of this package need no HTTP client."""
    if name not in _HOMES:
        raise AttributeError(f"module 'batcher' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
