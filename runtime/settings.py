"""Settings: flag > `VELOCITY_*` environment (`__` nests) > `velocity.toml` > default."""

import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from runtime.sink_settings import SinkName, SinkSettings
from runtime.sizes import parse_bytes
from schemas.sources import Source
from schemas.topics import TOPICS, TopicRole, TopicSpec
from schemas.wall_spans import WallSpan
from schemas.windows import WindowSpec

CONFIG_FILE = "VELOCITY_CONFIG_FILE"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/London") from error
    return name


def _window_spec(text: str) -> str:
    WindowSpec.parse(text)
    return text


def _size(text: str) -> str:
    parse_bytes(text)
    return text


def _wall_span(text: str) -> str:
    WallSpan.parse(text)
    return text


Duration = Annotated[timedelta, AfterValidator(_positive)]
Zone = Annotated[str, AfterValidator(_zone)]
Size = Annotated[str, AfterValidator(_size)]  # as DuckDB writes it: 2GB, 512MiB


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KafkaSettings(_Section):
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


class TopicSettings(_Section):
    """Names of the topics; `prefix` goes before each."""

    prefix: str = ""
    replication_factor: int = Field(default=1, ge=1)
    partitions: dict[TopicRole, int] = {}
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


class WindowSettings(_Section):
    """How event time is cut into windows, and when a window closes."""

    spec: Annotated[str, AfterValidator(_window_spec)] = "PT1H"
    max_out_of_orderness: timedelta = Field(default=timedelta(minutes=10), ge=timedelta(0))
    idle_timeout: Duration = timedelta(minutes=1)
    idle_policy: Literal["advance", "hold"] = "advance"


class IntakeSettings(_Section):
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


class StreamSettings(_Section):
    """How the stream worker checkpoints and bounds its memory."""

    checkpoint_interval: Duration = timedelta(seconds=5)
    chunk_records: int = Field(default=10_000, ge=5_000, le=20_000)
    fetch_bytes: int = Field(
        default=4 << 20, ge=64 << 10
    )  # of one partition at a time; more is faster, and more memory
    lean_records: bool = True  # fetch without aiokafka's record objects, by a way inside that it does not document
    buffered_records: int = Field(default=200_000, ge=20_000)  # rows in memory, before blocks are cut short
    pending_bytes: int = Field(default=8 << 20, ge=1 << 10)  # pending, that ask for an early checkpoint
    codec: Literal["null", "deflate", "zstandard"] = "deflate"
    max_batch_backlog: int = Field(default=100_000, ge=1)  # manifests that the batch workers have yet to take
    min_free_bytes: int = Field(default=64 << 20, ge=0)  # of the store's disk, below which fetching pauses
    retry_backoff: Duration = timedelta(seconds=1)
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8081, ge=0, le=65535)


LEAST_RSS = 384 << 20  # the program and an empty database take some 250
BESIDE_DATABASE = 1 << 30  # batches that are being read, the table of known ids, and the program


class BatchSettings(_Section):
    """How the batch worker loads, calculates and publishes."""

    min_concurrency: int = Field(default=1, ge=1)
    max_concurrency: int = Field(default=12, ge=1)  # files read at once; regulated between the two
    queue_size: int = Field(default=1_000, ge=1)
    load_records: int = Field(default=500_000, ge=1)  # facts that one DuckDB transaction takes at most
    memory_limit: Size = "2GB"  # DuckDB's own; half of rss_limit at most, where that is given
    rss_limit: Size | None = None  # resident memory of the worker; memory_limit and 1 GiB unless given
    key_table_bytes: int = Field(default=512 << 20, ge=0)  # for repeated ids: 6 to 12 a fact; 1/8 of rss_limit at most
    threads: int | None = Field(default=None, ge=1)
    kept_instants: int = Field(default=168, ge=1)  # per site whose results stay, and as many that were asked for
    retry_backoff: Duration = timedelta(seconds=1)
    max_loop_lag: Duration = timedelta(milliseconds=250)

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if self.min_concurrency > self.max_concurrency:
            raise ValueError(
                f"min_concurrency is {self.min_concurrency} and max_concurrency {self.max_concurrency}: "
                "raise the latter or lower the former"
            )
        if self.rss_limit is not None and parse_bytes(self.rss_limit) < LEAST_RSS:
            raise ValueError(f"rss_limit is {self.rss_limit}: a worker needs 384MiB at least")
        return self

    @property
    def rss_limit_bytes(self) -> int:
        """How much resident memory a worker may take."""
        return parse_bytes(self.rss_limit) if self.rss_limit else parse_bytes(self.memory_limit) + BESIDE_DATABASE

    @property
    def database_bytes(self) -> int:
        """How much of it DuckDB may take."""
        wanted = parse_bytes(self.memory_limit)
        return min(wanted, self.rss_limit_bytes // 2) if self.rss_limit else wanted

    @property
    def keys_bytes(self) -> int:
        """How much of it the table of known ids may take."""
        return min(self.key_table_bytes, self.rss_limit_bytes // 8) if self.rss_limit else self.key_table_bytes


HorizonName = Literal["rolling_7d", "rolling_30d", "rolling_91d"]


class VelocitySettings(_Section):
    """What is calculated, thresholds of the classes, and what counts as a known item. Part of the run id, but for
    `horizons`.

    `stable_class` follows `abc_class` at once, unless both `class_margin` and `class_runs` say otherwise.
    """

    horizons: tuple[HorizonName, ...] = ("rolling_30d",)  # calculated and published by themselves; others if asked for
    class_metric: Literal["normalized_lines", "forward_lines", "units"] = "normalized_lines"  # units: net ones

    abc_a: float = Field(default=0.80, gt=0, lt=1)
    abc_b: float = Field(default=0.95, gt=0, le=1)
    xyz_x: float = Field(default=0.5, ge=0)
    xyz_y: float = Field(default=1.0, ge=0)
    class_margin: float = Field(default=0.0, ge=0, lt=1)  # of a threshold: beyond it the stable class follows at once
    class_runs: int = Field(default=1, ge=1)  # in a row with another class, after which the stable one follows anyway
    count_tolerance_a: float = Field(default=0.01, ge=0, lt=1)  # of the book quantity: a cycle count within is accurate
    count_tolerance_b: float = Field(default=0.03, ge=0, lt=1)
    count_tolerance_c: float = Field(default=0.05, ge=0, lt=1)
    provisional_days: int = Field(default=14, ge=0)
    require_known_items: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.abc_a >= self.abc_b or self.xyz_x > self.xyz_y:
            raise ValueError("thresholds must ascend: abc_a < abc_b and xyz_x <= xyz_y")
        if (self.class_margin > 0) != (self.class_runs > 1):
            raise ValueError(
                "class_margin above 0 and class_runs above 1 go together: one without the other does nothing"
            )
        if not self.horizons or len(set(self.horizons)) < len(self.horizons):
            raise ValueError("horizons must name one at least, and each once")
        return self

    @property
    def has_memory(self) -> bool:
        """Whether `stable_class` depends on the run before."""
        return self.class_runs > 1


class ScheduleSettings(_Section):
    """When sites may be calculated and delivered to. `off_peak` is in site-local time; `file` has rules per site."""

    builtin: bool = True  # the batch worker begins the nightly job; without it cron or Prefect does
    off_peak: Annotated[str, AfterValidator(_wall_span)] = "02:00-04:00"
    file: Path | None = None


class ApiSettings(_Section):
    """Where the batch worker listens, where the command line calls it, and how much it computes for others."""

    url: str = "http://127.0.0.1:8080"
    max_computations: int = Field(default=2, ge=1)  # requests to /api/v1/velocity/compute that are computed at once
    max_waiting: int = Field(default=32, ge=0)  # and that wait for their turn; others are answered 429
    compute_deadline: Duration = timedelta(seconds=25)  # waiting included; then the answer is 503


class StoreSettings(_Section):
    """Where batch files live: a directory, or `s3://bucket/prefix`."""

    url: str = "velocity-store"


class TracesSettings(_Section):
    """Where traces go; nowhere without an endpoint. `sample_ratio`: of fetches whose records bring no trace along."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://\S+$")  # OTLP/HTTP, such as http://127.0.0.1:4318
    sample_ratio: float = Field(default=0.01, ge=0, le=1)


class LogSettings(_Section):
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
