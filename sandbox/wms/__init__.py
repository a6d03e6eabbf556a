"""A warehouse management system that takes coefficients over HTTP, and a compute API; both misbehave by script."""

from sandbox.wms.compute import FakeCompute
from sandbox.wms.faults import Fault, FaultScript
from sandbox.wms.server import FakeWms

__all__ = ["FakeCompute", "FakeWms", "Fault", "FaultScript"]
