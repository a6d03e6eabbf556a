"""Where coefficients are delivered: `sinks.<name>`, `[sinks.wms]` in the file or `VELOCITY_SINKS__WMS__KIND=http`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import NoDecode

SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
SinkKind = Literal["http", "postgres", "files"]
_Duration = Annotated[timedelta, Field(gt=timedelta(0))]

#: What a sink of each kind cannot do without, and what else only that kind has.
_NEEDS: dict[SinkKind, frozenset[str]] = {
    "http": frozenset({"urls"}),
    "postgres": frozenset({"dsn"}),
    "files": frozenset({"directory"}),
}
_TAKES: dict[SinkKind, frozenset[str]] = {
    "http": frozenset({"urls", "token", "drop_dir"}),
    "postgres": frozenset({"dsn", "table"}),
    "files": frozenset({"directory", "format"}),
}


def _words(value: Any) -> Any:
    """A list that came as one text, as the environment has it: JSON, or words with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a JSON list: {error}") from error
    return [word.strip() for word in value.split(",") if word.strip()]


_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+[^\s]*$")]


_Urls = Annotated[tuple[_Url, ...], NoDecode, BeforeValidator(_words)]
_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BreakerSettings(_Section):
    """When a circuit opens and how it closes: see `batcher/delivery/circuit.py`."""

    window: int = Field(default=20, ge=1)
    minimum_calls: int = Field(default=10, ge=1)
    failure_ratio: float = Field(default=0.5, gt=0, le=1)
    open: _Duration = timedelta(seconds=5)
    longest_open: _Duration = timedelta(seconds=60)
    probes: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.minimum_calls > self.window:
            raise ValueError("minimum_calls must be at most window, or the circuit could never open")
        if self.open > self.longest_open:
            raise ValueError("open must be at most longest_open")
        return self


class RetrySettings(_Section):
    """How often a chunk is tried again: see `batcher/delivery/retries.py`."""

    throttled: int = Field(default=8, ge=0)
    transient: int = Field(default=3, ge=0)
    transient_base: _Duration = timedelta(seconds=1)
    outage: int = Field(default=20, ge=0)


class SinkSettings(_Section):
    """One sink. `rate_skus_per_s` None: as fast as it takes them. No `sites`: all of them."""

    kind: SinkKind
    urls: _Urls = ()  # of http, in the order in which they are preferred
    token: SecretStr | None = None  # of http: sent as `Authorization: Bearer`
    drop_dir: Path | None = None  # of http: where chunks wait in files while no node takes them
    dsn: SecretStr | None = None  # of postgres: postgresql://user:password@host/database
    table: str = Field(default="velocity_coefficients", pattern=r"^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$")
    directory: Path | None = None  # of files
    format: Literal["parquet", "csv"] = "parquet"  # of files
    chunk_skus: int = Field(default=10_000, ge=1, le=100_000)
    max_concurrency: int = Field(default=4, ge=1, le=50)
    rate_skus_per_s: float | None = Field(default=None, gt=0)
    when: Literal["off-peak", "always"] = "off-peak"
    sites: _Names = ()
    horizons: _Names = ("rolling_30d",)
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        missing = [name for name in sorted(_NEEDS[self.kind]) if not getattr(self, name)]
        if missing:
            raise ValueError(f"a sink of kind {self.kind} needs {', '.join(missing)}")
        others = frozenset().union(*_TAKES.values()) - _TAKES[self.kind]
        if foreign := sorted(others & self.model_fields_set):
            raise ValueError(f"a sink of kind {self.kind} has no {', '.join(foreign)}")
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("urls names a node twice")
        if not self.horizons:
            raise ValueError("horizons must name one at least, or nothing would be delivered")
        if self.kind == "files" and self.max_concurrency > 1 and "max_concurrency" in self.model_fields_set:
            raise ValueError("files are written one after the other: leave max_concurrency out")
        return self

    def takes_site(self, site_id: str) -> bool:
        """Whether the site's coefficients go there."""
        return not self.sites or site_id in self.sites
