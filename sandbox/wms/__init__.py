"""A warehouse management system that takes coefficients over HTTP, and misbehaves by script."""

from sandbox.wms.faults import Fault, FaultScript
from sandbox.wms.server import FakeWms

__all__ = ["FakeWms", "Fault", "FaultScript"]
