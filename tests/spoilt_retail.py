"""The retail sample with 30,000 spoilt lines, and how an operator repairs three kinds of them."""

from acceptance_feeds import start_retail
from pipeline_world import PipelineWorld

from sandbox import retail_sample
from sandbox.spoilt_feed import spoilt
from schemas.sources import Source

OF_EACH = 2_500
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


def feed_spoilt(world: PipelineWorld) -> None:
    """Feed the sample with its lines of twelve kinds that are refused, and close all windows."""
    start_retail(world)
    feed = {source: [line for _, line in lines] for source, lines in retail_sample.sample_feed().items()}
    world.produce_from(Source.ORDERS, spoilt(feed[Source.ORDERS], OF_EACH))
    world.produce(Source.RETURNS, feed[Source.RETURNS])
    world.produce(Source.CYCLE_COUNTS, feed[Source.CYCLE_COUNTS])
    world.drain(within_s=240)
