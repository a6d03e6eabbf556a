"""Settings of the batch stage: what it may use, what it calculates, when, and for whom."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from runtime.setting_types import Duration, Section, Size, WallSpanText
from runtime.sizes import parse_bytes

LEAST_RSS = 384 << 20  # the program and an empty database take some 250
BESIDE_DATABASE = 1 << 30  # batches that are being read, the table of known ids, and the program


class BatchSettings(Section):
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


class VelocitySettings(Section):
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


class ScheduleSettings(Section):
    """When sites may be calculated and delivered to. `off_peak` is in site-local time; `file` has rules per site."""

    builtin: bool = True  # the batch worker begins the nightly job; without it cron or Prefect does
    off_peak: WallSpanText = "02:00-04:00"
    file: Path | None = None


class ApiSettings(Section):
    """Where the batch worker listens, where the command line calls it, and how much it computes for others."""

    url: str = "http://127.0.0.1:8080"
    max_computations: int = Field(default=2, ge=1)  # requests to /api/v1/velocity/compute that are computed at once
    max_waiting: int = Field(default=32, ge=0)  # and that wait for their turn; others are answered 429
    compute_deadline: Duration = timedelta(seconds=25)  # waiting included; then the answer is 503
