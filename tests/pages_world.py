"""A pipeline that runs, with a console in front of it, as the tests of pages look at it. Everything in it is fixed."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

from pipeline_world import PipelineWorld, order_lines, until

from sandbox.kafka.probe import free_port
from schemas.sources import Source

HOUR = 3_600_000
START = 1_699_999_200_000  # 2023-11-14T22:00Z
AGAIN = "2023-11-14T23:00:00Z"


@dataclass
class PagesWorld:
    """A console that answers, and the pipeline that it looks at."""

    url: str
    pipeline: PipelineWorld
    browser: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    )

    def get(self, path: str, **params: str) -> tuple[int, str]:
        """Status and body of a page."""
        address = f"{self.url}{path}{'?' + urlencode(params) if params else ''}"
        try:
            with self.browser.open(address, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def text(self, path: str, **params: str) -> str:
        """What a page that is there says, without its tags."""
        status, body = self.get(path, **params)
        assert status == 200, f"{path}: {status}\n{plain(body)}\n{self.pipeline.logs}"
        return plain(body)

    def submit(self, page: str, action: str, **fields: str) -> int:
        """Send a form of a page, as a browser does; the status of where that leads."""
        token = re.search(r'name="csrf" value="([^"]*)"', self.get(page)[1])
        assert token, f"{page} has no form"
        data = urlencode({"csrf": token[1], **fields}).encode()
        request = urllib.request.Request(f"{self.url}{action}", data=data, headers={"Origin": self.url})
        with self.browser.open(request, timeout=30) as answer:
            return answer.status

    def figures(self) -> dict[str, str]:
        """The figures of the page Flow by their names; none as long as it does not answer."""
        try:
            status, body = self.get("/flow")
        except OSError:
            return {}
        found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", body, re.DOTALL)
        return {plain(name).strip(): plain(value).strip() for name, value in found} if status == 200 else {}


def plain(html: str) -> str:
    """HTML without its tags, blanks squeezed."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@contextmanager
def running_pages(bootstrap: str, directory: Path) -> Iterator[PagesWorld]:
    """600 order lines of 50 SKUs over ten hours and a broken one; 20 lines came after a drain had closed their window;
    one window with 50 records is open; the site was calculated more than once."""
    with console_of(bootstrap, directory) as world:
        pipeline = world.pipeline
        pipeline.start("stream", "stream-1")
        pipeline.start("batch", "batch-1")
        lines = order_lines(600, start_ms=START, step_ms=60_000)
        pipeline.produce(Source.ORDERS, [*lines[:400], b'{"broken": true}'])
        pipeline.drain()
        pipeline.produce(Source.ORDERS, lines[400:])
        pipeline.drain()
        pipeline.run("recalc", "--as-of", AGAIN, "--partial")
        pipeline.produce(Source.ORDERS, order_lines(50, start_ms=START + 30 * HOUR, step_ms=1000))
        assert until(lambda: world.figures().get("In open windows") == "50", 30), pipeline.logs
        yield world


@contextmanager
def console_of(bootstrap: str, directory: Path) -> Iterator[PagesWorld]:
    """A console of a pipeline whose workers are not started."""
    port = free_port()
    addresses = {"VELOCITY_STREAM__HTTP_PORT": str(free_port()), "VELOCITY_SERVE__PORT": str(port)}
    pipeline = PipelineWorld.whole(bootstrap, directory, 2, addresses)
    try:
        pipeline.start("serve", "console-1")
        yield PagesWorld(f"http://127.0.0.1:{port}", pipeline)
    finally:
        pipeline.close()
