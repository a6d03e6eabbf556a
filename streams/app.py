"""Faust's part: an app with one agent per source, each event of which is a fetch.

Faust gives agents, group membership and supervision. Its acks, commits and tables are not used: see the decision
records on why they lose data.
"""

from functools import partial
from typing import Any, cast

import faust
import mode
from aiokafka.helpers import create_ssl_context
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables import TableManager
from faust.types import TP

from runtime.settings import KafkaSettings, Settings
from schemas.sources import Source
from streams.fetch_lane import FetchLane, RawFetches
from streams.worker import StreamWorker

#: So long a worker may fetch nothing, under backpressure or because no partition is left for it. Then aiokafka takes it
#: out of the group, and back only with its next fetch, which would never come.
MAX_BLOCKED_S = 10 * 365 * 86_400.0


class NoTables(TableManager):
    """Faust waits a second for tables to be declared, before it joins the group. Here there are none."""

    async def on_start(self) -> None:
        """Start at once."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


def build_app(settings: Settings) -> faust.App:
    """A Faust app that delivers whole fetches, declares no table, and never commits by itself."""
    kafka = settings.kafka
    session_s = kafka.session_timeout.total_seconds()
    datadir = settings.state_dir / "faust"
    datadir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        kafka.stream_group,
        broker=[f"kafka://{server}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=session_s,
        broker_heartbeat_interval=max(0.3, session_s / 10),
        broker_request_timeout=max(40.0, session_s + 10),
        broker_max_poll_interval=MAX_BLOCKED_S,
        broker_rebalance_timeout=max(10.0, session_s),
        consumer_auto_offset_reset="none",
        consumer_max_fetch_size=settings.stream.fetch_bytes,
        consumer_group_instance_id=settings.worker_id,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        TableManager=NoTables,
        table_standby_replicas=0,  # else Faust assigns partition n of all topics together: few workers would find work
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        datadir=str(datadir),
        worker_redirect_stdouts=False,
        autodiscover=False,
    )
    cast(Any, app.transport).Consumer = partial(FetchLane, lean=settings.stream.lean_records)
    return app


def add_agents(app: faust.App, worker: StreamWorker, settings: Settings) -> None:
    """One agent per source, and the group's signals."""

    async def revoked(_: Any, revoked: set[TP], **kwargs: Any) -> None:
        await worker.revoked(revoked)

    async def assigned(_: Any, assigned: set[TP], **kwargs: Any) -> None:
        await worker.assigned(assigned)

    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)
    app.on_partitions_assigned.connect(cast(Any, assigned), weak=False)
    for source in Source:
        topic = app.topic(settings.topics.source_topic(source), schema=RawFetches(), acks=False)
        app.agent(topic, name=source.value, supervisor_strategy=mode.CrashingSupervisor)(_agent(worker))


def _agent(worker: StreamWorker) -> Any:
    async def take_fetches(stream: Any) -> None:
        async for event in stream.events():
            await worker.hand_over(event.value)

    return take_fetches


def _credentials(kafka: KafkaSettings) -> SASLCredentials | SSLCredentials | None:
    if kafka.security_protocol == "PLAINTEXT":
        return None
    context = None
    if kafka.security_protocol.endswith("SSL"):
        context = create_ssl_context(cafile=str(kafka.ssl_cafile) if kafka.ssl_cafile else None)
    if kafka.security_protocol == "SSL":
        return SSLCredentials(context)
    password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
    return SASLCredentials(
        username=kafka.sasl_username, password=password, mechanism=kafka.sasl_mechanism, ssl_context=context
    )
