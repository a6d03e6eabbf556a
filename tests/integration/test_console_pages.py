"""The console's pages of a pipeline that runs: each is asked for over HTTP and says what the workers know."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from pipeline_world import PipelineWorld, order_lines, until

from sandbox.kafka import EmbeddedKafka
from sandbox.kafka.probe import free_port
from schemas.sources import Source

LINES = 600
HOUR = 3_600_000
START = 1_700_000_400_000 - 1_700_000_400_000 % HOUR
AGAIN = "2023-11-14T23:00:00Z"


@dataclass
class Console:
    """A console that answers, and the pipeline that it looks at."""

    url: str
    world: PipelineWorld
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
        assert status == 200, f"{path}: {status}\n{plain(body)}\n{self.world.logs}"
        return plain(body)

    def submit(self, page: str, action: str, **fields: str) -> int:
        """Send a form of a page, as a browser does; the status of where that leads."""
        token = re.search(r'name="csrf" value="([^"]*)"', self.get(page)[1])
        assert token, f"{page} has no form"
        data = urlencode({"csrf": token[1], **fields}).encode()
        request = urllib.request.Request(f"{self.url}{action}", data=data, headers={"Origin": self.url})
        with self.browser.open(request, timeout=30) as answer:
            return answer.status


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@pytest.fixture(scope="module")
def console(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """600 order lines of 50 SKUs over ten hours and a broken one; 20 lines came after a drain had closed their window;
    one window is open; the site was calculated more than once."""
    directory = tmp_path_factory.mktemp("pages")
    port, stream_port = free_port(), free_port()
    world = PipelineWorld.whole(
        broker.bootstrap_servers,
        directory,
        2,
        {
            "VELOCITY_STREAM__HTTP_PORT": str(stream_port),
            "VELOCITY_SERVE__PORT": str(port),
        },
    )
    try:
        world.start("stream", "stream-1")
        world.start("batch", "batch-1")
        world.start("serve", "console-1")
        lines = order_lines(LINES, start_ms=START, step_ms=60_000)
        world.produce(Source.ORDERS, [*lines[:400], b'{"broken": true}'])
        world.drain()
        world.produce(Source.ORDERS, lines[400:])
        world.drain()
        world.run("recalc", "--as-of", AGAIN, "--partial")
        world.produce(Source.ORDERS, order_lines(50, start_ms=START + 30 * HOUR, step_ms=1000))
        console = Console(f"http://127.0.0.1:{port}", world)
        assert until(lambda: "50" in str(reached(console).get("open")), 30), world.logs
        yield console
    finally:
        world.close()


def reached(console: Console) -> dict[str, str]:
    """The figures of the page Flow."""
    try:
        status, body = console.get("/flow")
    except OSError:
        return {}
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", body, re.DOTALL)
    named = {plain(name).strip(): plain(value).strip() for name, value in found}
    return {"open": named.get("In open windows", ""), **named, "status": str(status)}


def test_flow_says_where_every_record_is(console: Console) -> None:
    """651 delivered, one of them a dead letter, 50 in open windows; the workers are ready, and their windows drawn."""
    figures = reached(console)
    assert figures["Delivered"] == "651"
    assert figures["Dead letters"] == "1"
    assert (figures["In batches"], figures["In corrections"]) == ("580", "20")
    text = console.text("/flow")
    assert "no backpressure" in text and "batch http://127.0.0.1" in text
    assert f"{console.world.name}.wms.orders.v1/0" in text
    assert "A orders, 2023-11-16 04:00:00Z to 2023-11-16 05:00:00Z" in text
    assert console.get("/flow", sort="lag_records", desc="1")[0] == 200
    status, body = console.get("/flow", format="csv")
    assert status == 200 and body.splitlines()[0].startswith("partition,state,position")


def test_flow_is_renewed_by_events(console: Console) -> None:
    """The stream of the page sends its part as HTML."""
    with urllib.request.urlopen(f"{console.url}/flow/live", timeout=30) as stream:
        lines = []
        while b"Delivered" not in b"".join(lines):
            lines.append(stream.readline())
    assert b"event: flow\r\n" in lines


def test_batches_lead_from_windows_to_files(console: Console) -> None:
    """The grid has complete windows and an open one; a batch says its way and gives its file, byte for byte."""
    text = console.text("/batches")
    assert "complete" in text and "50 open" in text
    catalogue = console.world.json("batches")
    batch = catalogue[0]
    page = console.text(f"/batches/{batch['batch_id']}")
    assert batch["path"] in page and batch["sha256"] in page
    assert "rolling_30d as of" in page
    with urllib.request.urlopen(f"{console.url}/batches/{batch['batch_id']}/file", timeout=30) as answer:
        assert answer.read() == (console.world.directory / "store" / batch["path"]).read_bytes()
        assert answer.headers["Content-Disposition"].endswith('.avro"')
    assert len(console.get("/batches", format="csv")[1].splitlines()) == len(catalogue) + 1
    assert "No batch of this kind" in console.text("/batches", site="A", source="returns")
    corrections = console.get("/batches", site="A", kind="correction", format="csv")[1]
    assert sum(int(line.split(",")[5]) for line in corrections.splitlines()[1:]) == 20


@pytest.mark.parametrize("batch_id", ["nothing", "..%2F..%2Fetc%2Fpasswd", "%2e%2e"])
def test_no_batch_but_those_of_the_catalogue_is_given(console: Console, batch_id: str) -> None:
    """A batch id is looked up, never a path."""
    assert console.get(f"/batches/{batch_id}/file")[0] == 404


def test_velocity_shows_classes_and_leads_to_each_sku(console: Console) -> None:
    """50 SKUs in nine cells; a class filters the table; the search is the database's; a SKU is explained."""
    text = console.text("/velocity")
    assert "50 SKUs" in text or "SKUs 50" in text
    assert re.search(r"Since the run as of 2023-11-\S+Z , \d+ SKUs have changed class", text)
    assert f"As of {AGAIN}" in console.text("/velocity", as_of=AGAIN)
    coefficients = json.loads(console.world.run("coefficients", "--format", "json").stdout)
    of_a = [row["sku"] for row in coefficients if row["abc_class"] == "A"]
    status, exported = console.get("/velocity", abc="A", format="csv")
    assert status == 200
    assert sorted(line.split(",")[0] for line in exported.splitlines()[1:]) == sorted(of_a)
    assert exported.splitlines()[0].startswith("sku,velocity")
    assert "1 of 50 rows" in console.text("/velocity", q="s49")
    page = console.text("/velocity/A/S7")
    for said in ("Order lines: weight", "Rank", "Since the run of", "Demand by day", "S7 at A"):
        assert said in page
    assert console.get("/velocity/A/NOSUCH")[0] == 404
    assert console.get("/velocity", site="nowhere")[0] == 404


def test_runs_say_what_was_calculated(console: Console) -> None:
    """The run that was asked for is in the list; nothing failed; the week is drawn."""
    text = console.text("/runs")
    assert AGAIN in text and "No chunk has failed" in text
    assert "Schedule of the week" in text and "off-peak" in text
    assert console.get("/runs", week="2026-W99")[0] == 400
    assert console.get("/runs", **{"runs-format": "csv"})[1].startswith("site_id,horizon,as_of")


def test_an_audit_is_made_when_it_is_asked_for(console: Console) -> None:
    """It runs in the background, ends complete with the figures of `velocity audit`, and the trail names the drains."""
    assert "No audit has been made" in console.text("/audit")
    assert console.submit("/audit", "/audit/run") == 200
    assert until(lambda: "source partitions" in console.text("/audit"), 30)
    text = console.text("/audit")
    report = console.world.json("audit")
    assert f"{report['batches']} batches of {report['partitions']} source partitions" in text
    assert "NOT complete" not in text
    assert text.count("drain") >= 2


def test_a_report_is_one_file_that_needs_nothing_else(console: Console) -> None:
    """It has the conservation, the classes, the dead letter and the windows; no script, nothing from elsewhere; and
    the same data give the same file."""
    first, second = (console.world.directory / name for name in ("first.html", "second.html"))
    for file in (first, second):
        console.world.run("report", "--out", str(file))
    text = first.read_text()
    assert text == second.read_text()
    assert "<script" not in text and not re.search(r'(?:src|href)="', text)
    said = plain(text)
    for expected in (
        "Complete: every delivered record",
        "missing_field",
        "Site A",
        "50 SKUs as of",
        "Pareto",
        "The fastest",
    ):
        assert expected in said
    assert console.world.run("report", "--out", str(first), "--site", "nowhere", check=False).returncode == 2
    assert console.world.run("report", "--out", "/no/such/place.html", check=False).returncode == 2


def test_what_does_not_answer_is_said_on_the_page(broker: EmbeddedKafka, tmp_path: Path) -> None:
    """Without a batch worker a page says so, and does not hang."""
    port = free_port()
    world = PipelineWorld.whole(broker.bootstrap_servers, tmp_path, 1, {"VELOCITY_SERVE__PORT": str(port)})
    try:
        world.start("serve", "console-1")
        console = Console(f"http://127.0.0.1:{port}", world)
        assert until(lambda: reached(console).get("status") == "200", 30), world.logs
        text = console.text("/flow")
        assert "no batch worker answers" in text and "never read" in text
        status, body = console.get("/velocity")
        assert status == 502 and "no batch worker answers" in plain(body)
        assert "no batch worker answers" in console.text("/runs")
        assert "Nobody has replayed" in console.text("/audit")
    finally:
        world.close()
