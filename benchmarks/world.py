"""A pipeline for one run of a lane: the feed's topic as its source, everything else its own and removed afterwards."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka.admin import AdminClient

from benchmarks.feed import DISORDER_MS
from benchmarks.job import Job
from runtime.settings import Settings
from runtime.topics import apply, plan_topics
from schemas.topics import TOPICS, TopicRole


def environment(job: Job, **more: str) -> dict[str, str]:
    """The settings of the run's workers: windows of the lane's length, closed when the feed's disorder has passed."""
    run = f"bench.{job.scratch.name}"
    names = {f"VELOCITY_TOPICS__{spec.role.value.upper()}": f"{run}.{spec.name}" for spec in TOPICS}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("VELOCITY_")},
        **names,
        f"VELOCITY_TOPICS__{TopicRole.ORDERS.value.upper()}": job.topic,
        "VELOCITY_TOPICS__PARTITIONS": json.dumps({"orders": job.feed.partitions, "returns": 1, "cycle_counts": 1}),
        "VELOCITY_KAFKA__BOOTSTRAP_SERVERS": job.bootstrap,
        "VELOCITY_KAFKA__STREAM_GROUP": f"{run}-stream",
        "VELOCITY_KAFKA__BATCH_GROUP": f"{run}-batch",
        "VELOCITY_STORE__URL": str(job.scratch / "store"),
        "VELOCITY_STATE_DIR": str(job.scratch / "state"),
        "VELOCITY_WORKER_ID": "bench",
        "VELOCITY_WINDOW__SPEC": job.window,
        "VELOCITY_WINDOW__MAX_OUT_OF_ORDERNESS": f"PT{DISORDER_MS // 1000}S",
        "VELOCITY_WINDOW__IDLE_POLICY": "hold",
        **more,
    }


def own_environment(job: Job, **more: str) -> dict[str, str]:
    """The same where orders, too, have a topic of the run's own."""
    return environment(job, VELOCITY_TOPICS__ORDERS=f"bench.{job.scratch.name}.wms.orders.v1", **more)


@contextmanager
def pipeline_topics(settings: Settings) -> Iterator[None]:
    """Create what is missing; delete it at the end. The feed's topic is there before and stays."""
    plan = plan_topics(settings)
    apply(settings, plan.differences)
    try:
        yield
    finally:
        kept = settings.topics.name(TopicRole.ORDERS)
        ours = [name for name, _ in settings.topic_specs() if name != kept]
        admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
        for deleted in admin.delete_topics(ours, operation_timeout=30).values():
            deleted.result()
