"""The retail sample with 3,000 or 30,000 spoilt lines, and how an operator repairs three kinds of them."""

import pytest
from acceptance_feeds import sample, start_retail
from pipeline_world import PipelineWorld

from sandbox.spoilt_feed import spoilt
from schemas.sources import Source

FEW, MANY = 250, 2_500  # lines of each of the twelve kinds
#: For a test of `of_each` lines of each kind in a `spoilt_world`: few of them, and many where it may take minutes.
of_each_kind = pytest.mark.parametrize(
    ("of_each", "spoilt_world"),
    [
        pytest.param(FEW, FEW, id="3,000 letters"),
        pytest.param(MANY, MANY, id="30,000 letters", marks=pytest.mark.soak),
    ],
    indirect=["spoilt_world"],
)
AS_OF = "2011-05-31T23:00:00Z"
#: By the producer whose letters they repair.
RECIPES = {
    "scanner-7": """
        name = "local-times"
        why = "Scanner 7 writes the site's wall time"
        [[steps]]
        op = "time"
        path = "/event_time"
        format = "%d/%m/%Y %H:%M"
        zone = "Europe/London"
        """,
    "erp-export": """
        name = "numbers-as-texts"
        why = "The export quotes numbers"
        [match]
        classes = ["wrong_type"]
        [[steps]]
        op = "number"
        path = "/quantity"
        """,
    "handheld-2": """
        name = "units-in-words"
        why = "Handhelds of the first series say each"
        [match]
        classes = ["unknown_unit"]
        [[steps]]
        op = "map"
        path = "/uom"
        values = { each = "EA" }
        """,
}


def feed_spoilt(world: PipelineWorld, of_each: int) -> None:
    """Feed the sample with lines of twelve kinds that are refused, so many of each, and close all windows."""
    start_retail(world)
    feed = {source: [line for _, line in lines] for source, lines in sample().items()}
    world.produce_from(Source.ORDERS, spoilt(feed[Source.ORDERS], of_each))
    world.produce(Source.RETURNS, feed[Source.RETURNS])
    world.produce(Source.CYCLE_COUNTS, feed[Source.CYCLE_COUNTS])
    world.drain(within_s=240)
