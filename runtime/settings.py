"""Settings: flag > `VELOCITY_*` environment (`__` nests) > `velocity.toml` > default."""

import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from runtime.batch_settings import ApiSettings, BatchSettings, ScheduleSettings, VelocitySettings
from runtime.desk_settings import DeskSettings, ServeSettings
from runtime.kafka_access import KafkaAccess
from runtime.setting_types import Duration, Section, WindowText, Zone
from runtime.sink_settings import SinkName, SinkSettings
from schemas.sources import Source
from schemas.topics import TOPICS, TopicRole, TopicSpec

CONFIG_FILE = "VELOCITY_CONFIG_FILE"


class KafkaSettings(Section):
    """How to reach the brokers, and how the workers join their groups."""

    bootstrap_servers: str = "127.0.0.1:9092"
    stream_group: str = "velocity-stream"
    batch_group: str = "velocity-batch"
    session_timeout: Duration = timedelta(seconds=30)
    transaction_timeout: Duration = Field(default=timedelta(seconds=20), le=timedelta(seconds=20))
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None

    @property
    def access(self) -> KafkaAccess:
        """How to reach the brokers, as plain data."""
        return KafkaAccess(
            bootstrap_servers=self.bootstrap_servers,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            sasl_username=self.sasl_username,
            sasl_password=self.sasl_password.get_secret_value() if self.sasl_password else None,
            ssl_cafile=str(self.ssl_cafile) if self.ssl_cafile else None,
        )


class TopicSettings(Section):
    """Names of the topics; `prefix` goes before each."""

    prefix: str = ""
    replication_factor: int = Field(default=1, ge=1)
    partitions: dict[TopicRole, int] = Field(default_factory=dict[TopicRole, int])
    orders: str = "wms.orders.v1"
    returns: str = "wms.returns.v1"
    cycle_counts: str = "wms.cycle-counts.v1"
    reference: str = "velocity.reference.v1"
    batches: str = "velocity.batches.v1"
    frontiers: str = "velocity.frontiers.v1"
    dead_letters: str = "velocity.dead-letters.v1"
    audit_log: str = "velocity.audit-log.v1"
    control: str = "velocity.control.v1"
    coefficients: str = "velocity.coefficients.v1"
    failed_chunks: str = "velocity.failed-chunks.v1"

    def name(self, role: TopicRole) -> str:
        """The full name of a topic."""
        return self.prefix + getattr(self, role.value)

    def source_topic(self, source: Source) -> str:
        """The topic that a source is read from."""
        return self.name(TopicRole(source.value.replace("-", "_")))

    def source_of(self, topic: str) -> Source:
        """The source that a topic carries.

        Raises:
            KeyError: it is none of the source topics.
        """
        return {self.source_topic(source): source for source in Source}[topic]

    def partition_count(self, spec: TopicSpec) -> int:
        """How many partitions a topic is created with."""
        return self.partitions.get(spec.role, spec.partitions)


class WindowSettings(Section):
    """How event time is cut into windows, and when a window closes."""

    spec: WindowText = "PT1H"
    max_out_of_orderness: timedelta = Field(default=timedelta(minutes=10), ge=timedelta(0))
    idle_timeout: Duration = timedelta(minutes=1)
    idle_policy: Literal["advance", "hold"] = "advance"


class IntakeSettings(Section):
    """What a record must be like to be counted."""

    sku_pattern: str = r"[A-Z0-9][A-Z0-9._/-]{0,63}"
    unit_codes: tuple[str, ...] = (
        *("EA", "PR", "DZN", "SET", "PK", "IP", "BX", "CT", "CS", "PL"),
        *("KGM", "LTR", "MTR"),
    )
    max_future_skew: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(0))
    schema_dir: Path | None = None  # `<id>.avsc` files: the Avro writer schemas that are known

    @field_validator("sku_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern


class StreamSettings(Section):
    """How the stream worker checkpoints and bounds its memory."""

    checkpoint_interval: Duration = timedelta(seconds=5)
    chunk_records: int = Field(default=10_000, ge=5_000, le=20_000)
    fetch_bytes: int = Field(
        default=4 << 20, ge=64 << 10
    )  # of one partition at a time; more is faster, and more memory
    concurrent_fetches: int = Field(default=2, ge=1)  # taken at once, of different partitions of any source
    lean_records: bool = True  # fetch without aiokafka's record objects, by a way inside that it does not document
    buffered_records: int = Field(default=200_000, ge=20_000)  # rows in memory, before blocks are cut short
    pending_bytes: int = Field(default=8 << 20, ge=1 << 10)  # pending, that ask for an early checkpoint
    codec: Literal["null", "deflate", "zstandard"] = "deflate"
    max_batch_backlog: int = Field(default=100_000, ge=1)  # manifests that the batch workers have yet to take
    min_free_bytes: int = Field(default=64 << 20, ge=0)  # of the store's disk, below which fetching pauses
    retry_backoff: Duration = timedelta(seconds=1)
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8081, ge=0, le=65535)


class StoreSettings(Section):
    """Where batch files live: a directory, or `s3://bucket/prefix`."""

    url: str = "velocity-store"


class TracesSettings(Section):
    """Where traces go; nowhere without an endpoint. `sample_ratio`: of fetches whose records bring no trace along."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://\S+$")  # OTLP/HTTP, such as http://127.0.0.1:4318
    sample_ratio: float = Field(default=0.01, ge=0, le=1)


class LogSettings(Section):
    """`console` is for people, `json` for machines."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """All settings. `velocity config` shows them."""

    model_config = SettingsConfigDict(env_prefix="VELOCITY_", env_nested_delimiter="__", extra="forbid")

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    window: WindowSettings = WindowSettings()
    intake: IntakeSettings = IntakeSettings()
    stream: StreamSettings = StreamSettings()
    batch: BatchSettings = BatchSettings()
    velocity: VelocitySettings = VelocitySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    api: ApiSettings = ApiSettings()
    desk: DeskSettings = DeskSettings()
    serve: ServeSettings = ServeSettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()
    traces: TracesSettings = TracesSettings()
    sinks: dict[SinkName, SinkSettings] = {}
    state_dir: Path = Path("velocity-state")
    worker_id: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sites_file: Path | None = None
    default_time_zone: Zone = "UTC"
    sku_pattern: str | None = None  # short for intake.sku_pattern
    unit_codes: tuple[str, ...] | None = None  # short for intake.unit_codes

    @model_validator(mode="after")
    def _keeps_the_run_before(self) -> Self:
        if self.velocity.has_memory and self.batch.kept_instants < 2:
            raise ValueError(
                "batch.kept_instants must be 2 at least where velocity.class_runs is: the run before is read"
            )
        return self

    @model_validator(mode="after")
    def _shorthands(self) -> Self:
        if self.sku_pattern is not None:
            self.intake = IntakeSettings(**{**self.intake.model_dump(), "sku_pattern": self.sku_pattern})
        if self.unit_codes is not None:
            self.intake = IntakeSettings(**{**self.intake.model_dump(), "unit_codes": self.unit_codes})
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file."""
        file = Path(os.environ.get(CONFIG_FILE, "velocity.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    def topic_specs(self) -> tuple[tuple[str, TopicSpec], ...]:
        """Every topic with its configured name."""
        return tuple((self.topics.name(spec.role), spec) for spec in TOPICS)


def milliseconds(duration: timedelta) -> int:
    """A duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def describe(settings: Settings) -> dict[str, Any]:
    """All settings as JSON values, secrets masked."""
    return settings.model_dump(mode="json")
