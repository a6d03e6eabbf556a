"""Feeds of the acceptance tests, how they are sent, and which columns of their results are exact."""

from functools import cache
from pathlib import Path

from pipeline_world import PipelineWorld

from sandbox import retail_sample
from sandbox.feed import Feed
from schemas.sources import Source

#: What the demo sets, too.
RETAIL_ENVIRONMENT = {
    "VELOCITY_WINDOW__SPEC": "local-day",
    "VELOCITY_WINDOW__IDLE_POLICY": "hold",
    "VELOCITY_SKU_PATTERN": retail_sample.SKU_PATTERN,
    "VELOCITY_STREAM__CHECKPOINT_INTERVAL": "PT1S",
}
#: Counts and sums in DECIMAL, which an oracle has to the last digit.
EXACT = (
    *("order_lines", "units_ordered", "units_returned", "net_units"),
    *("normalized_lines", "variance_units", "forward_lines"),
)


@cache
def sample() -> Feed:
    """The retail sample's events, made once: nobody changes them."""
    return retail_sample.sample_feed()


def feed_all(world: PipelineWorld, directory: Path) -> None:
    """Produce the NDJSON file of each source that is there, by the command line."""
    for source in Source:
        file = directory / f"{source.value}.ndjson"
        if file.exists():
            world.run("produce", "--source", source.value, str(file))


def start_retail(world: PipelineWorld) -> None:
    """Workers that know the sample's site."""
    (world.directory / "sites.csv").write_text(retail_sample.sites_csv())
    world.extra["VELOCITY_SITES_FILE"] = str(world.directory / "sites.csv")
    world.start("stream", "s1")
    world.start("batch", "b1")


def coefficients(world: PipelineWorld, as_of: str) -> str:
    """Recalculate at an instant; all rows and columns as CSV."""
    world.run("recalc", "--as-of", as_of)
    return world.run("coefficients", "--as-of", as_of, "--format", "csv").stdout
