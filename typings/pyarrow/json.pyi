"""pyarrow carries no types: here its names are `Any`, so that strict checking sees everything else."""

from typing import Any

def __getattr__(name: str) -> Any: ...
