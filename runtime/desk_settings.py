"""Settings of the dead-letter desk and of the web console."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr

from runtime.setting_types import Duration, Section


class DeskSettings(Section):
    """How dead letters are grouped, and how they are sent back."""

    producer_header: str = "producer"  # the header of source records that says who wrote them
    recipes: Path = Path("recipes")  # a directory of `NAME.toml`
    max_attempts: int = Field(default=5, ge=1)  # failures of one chain after which it is parked instead of sent again
    rate: float | None = Field(default=None, gt=0)  # records a second that a replay sends at most
    canary: int = Field(default=20, ge=0)  # records that are sent first and followed to their verdicts
    abort_above: float = Field(default=0.1, ge=0, le=1)  # share of records that failed again above which a replay ends


class ServeSettings(Section):
    """Where the web console listens, and who may use it and the batch worker's API."""

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65535)
    public_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+/?$")  # behind a proxy: what people type
    session: Duration = timedelta(hours=12)  # after which people log in again
    tokens_file: Path | None = None  # who may do what; needed wherever something listens off loopback
    token: SecretStr | None = None  # with which the command line and the console call the batch worker's API
    token_file: Path | None = None  # a file that holds it, for where secrets are mounted
