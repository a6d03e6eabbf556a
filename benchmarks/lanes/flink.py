"""Apache Flink: KafkaSource, watermarks, windows by SKU, count and sum; heap state, no checkpoints, parallelism 2.

Job manager and task manager are in one JVM. The source is bounded by the end of the topic, and the end of the input
closes every window: all events must be in them, with all of their quantity.
"""

from benchmarks.job import Job
from benchmarks.measure import Measurement
from benchmarks.rivals.jvm import Rival, measure
from benchmarks.verify import WrongOutput

#: What Flink's own configuration opens to it, as far as one JVM needs it.
_OPENED = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time"))

FLINK = Rival("FlinkLane", ("FlinkLane.java", "Order.java", "Progress.java"), "flink.txt", _OPENED)


def run(job: Job) -> Measurement:
    """Aggregate the whole topic."""
    measured, totals = measure(FLINK, job, [job.bootstrap, job.topic])
    quantity = sum(int(quantities.sum()) for quantities in job.feed.quantities())
    if (totals.events, totals.quantity) != (job.feed.events, quantity):
        raise WrongOutput(f"{totals}, but the feed has {job.feed.events} events and {quantity} thousandths")
    return measured
