"""The console's pages of a pipeline that runs: each is asked for over HTTP and says what the workers know."""

import json
import re
from pathlib import Path

import pytest
from pages_world import AGAIN, PagesWorld, console_of, plain
from pipeline_world import until

from sandbox.kafka import EmbeddedKafka


def test_flow_says_where_every_record_is(pages: PagesWorld) -> None:
    """651 delivered, one of them a dead letter, 50 in open windows; the workers are ready, and their windows drawn."""
    figures = pages.figures()
    assert figures["Delivered"] == "651"
    assert figures["Dead letters"] == "1"
    assert (figures["In batches"], figures["In corrections"]) == ("580", "20")
    text = pages.text("/flow")
    assert "no backpressure" in text
    assert "batch http://127.0.0.1" in text
    assert f"{pages.pipeline.name}.wms.orders.v1/0" in text
    assert "A orders, 2023-11-16 04:00:00Z to 2023-11-16 05:00:00Z" in text
    assert pages.get("/flow", sort="lag_records", desc="1")[0] == 200
    status, body = pages.get("/flow", format="csv")
    assert status == 200
    assert body.startswith("partition,state,position")


def test_flow_is_renewed_by_events(pages: PagesWorld) -> None:
    """The stream of the page sends its part as HTML."""
    lines: list[bytes] = []
    with pages.browser.open(f"{pages.url}/flow/live", timeout=30) as stream:
        while b"Delivered" not in b"".join(lines):
            lines.append(stream.readline())
    assert b"event: flow\r\n" in lines


def test_batches_lead_from_windows_to_files(pages: PagesWorld) -> None:
    """The grid has complete windows and an open one; a batch says its way and gives its file, byte for byte."""
    text = pages.text("/batches")
    assert "complete" in text
    assert "50 open" in text
    catalogue = pages.pipeline.json("batches")
    batch = catalogue[0]
    page = pages.text(f"/batches/{batch['batch_id']}")
    assert batch["path"] in page
    assert batch["sha256"] in page
    assert "rolling_30d as of" in page
    with pages.browser.open(f"{pages.url}/batches/{batch['batch_id']}/file", timeout=30) as answer:
        assert answer.read() == (pages.pipeline.directory / "store" / batch["path"]).read_bytes()
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{batch["batch_id"]}.avro"'
    assert len(pages.get("/batches", format="csv")[1].splitlines()) == len(catalogue) + 1
    assert "No batch of this kind" in pages.text("/batches", site="A", source="returns")
    corrections = pages.get("/batches", site="A", kind="correction", format="csv")[1]
    assert sum(int(line.split(",")[5]) for line in corrections.splitlines()[1:]) == 20


@pytest.mark.parametrize("batch_id", ["nothing", "..%2F..%2Fetc%2Fpasswd", "%2e%2e"])
def test_no_file_but_those_of_the_catalogue_is_given(pages: PagesWorld, batch_id: str) -> None:
    """A batch id is looked up, and is never a path."""
    assert pages.get(f"/batches/{batch_id}/file")[0] == 404


def test_velocity_shows_classes_and_leads_to_each_sku(pages: PagesWorld) -> None:
    """50 SKUs in nine cells; a class filters the table; the search is the database's; a SKU is explained."""
    text = pages.text("/velocity")
    assert re.search(r"Since the run as of 2023-11-\S+Z , \d+ SKUs have changed class", text)
    assert f"As of {AGAIN}" in pages.text("/velocity", as_of=AGAIN)
    assert "keeps no calculation" in pages.text("/velocity", as_of="2023-01-01T00:00:00Z")
    coefficients = json.loads(pages.pipeline.run("coefficients", "--format", "json").stdout)
    assert len(coefficients) == 50
    of_a = [row["sku"] for row in coefficients if row["abc_class"] == "A"]
    status, exported = pages.get("/velocity", abc="A", format="csv")
    assert status == 200
    assert exported.startswith("sku,velocity")
    assert sorted(line.split(",")[0] for line in exported.splitlines()[1:]) == sorted(of_a)
    assert "1 of 50 rows" in pages.text("/velocity", q="s49")
    page = pages.text("/velocity/A/S7")
    for said in ("Order lines: weight", "Rank", "Since the run of", "Demand by day", "S7 at A"):
        assert said in page
    status, body = pages.get("/velocity/A/NO%2FSUCH")
    assert status == 404
    assert "NO/SUCH has no fact at A" in plain(body)
    assert pages.get("/velocity", site="nowhere")[0] == 404


def test_runs_say_what_was_calculated(pages: PagesWorld) -> None:
    """The run that was asked for is in the list; nothing failed; the week is drawn."""
    text = pages.text("/runs")
    assert AGAIN in text
    assert "No chunk has failed" in text
    assert "Schedule of the week" in text
    assert pages.get("/runs", week="2026-W99")[0] == 400
    assert pages.get("/runs", **{"runs-format": "csv"})[1].startswith("site_id,horizon,as_of")


def test_an_audit_is_made_when_it_is_asked_for(pages: PagesWorld) -> None:
    """It runs in the background, ends with the figures of `velocity audit`, and the trail names the two drains."""
    assert pages.submit("/audit", "/audit/run") == 200
    assert until(lambda: "source partitions" in pages.text("/audit"), 30)
    text = pages.text("/audit")
    report = pages.pipeline.json("audit")
    assert f"{report['batches']} batches of {report['partitions']} source partitions" in text
    assert "NOT complete" not in text
    trail = pages.get("/audit", format="csv")[1].splitlines()
    assert [line.split(",")[2] for line in trail[1:]] == ["drain", "drain"]


def test_a_report_is_one_file_that_needs_nothing_else(pages: PagesWorld) -> None:
    """It has the conservation, the classes, the dead letter and the windows; no script, nothing from elsewhere; and
    the same data give the same file."""
    first, second = (pages.pipeline.directory / name for name in ("first.html", "second.html"))
    for file in (first, second):
        pages.pipeline.run("report", "--out", str(file))
    text = first.read_text()
    assert text == second.read_text()
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="', text)
    said = plain(text)
    assert "Complete: every delivered record is accounted for" in said
    for expected in ("missing_field", "Site A", "50 SKUs as of", "Pareto", "The fastest", "Class migration"):
        assert expected in said
    assert pages.pipeline.run("report", "--out", str(first), "--site", "nowhere", check=False).returncode == 2
    assert pages.pipeline.run("report", "--out", "/no/such/place.html", check=False).returncode == 2


def test_what_does_not_answer_is_said_on_the_page(broker: EmbeddedKafka, tmp_path: Path) -> None:
    """Without a worker every page comes, at once, and says so."""
    with console_of(broker.bootstrap_servers, tmp_path) as pages:
        assert until(pages.figures, 30), pages.pipeline.logs
        text = pages.text("/flow")
        assert "no batch worker answers" in text
        assert "never read" in text
        status, body = pages.get("/velocity")
        assert status == 502
        assert "no batch worker answers" in plain(body)
        assert "no batch worker answers" in pages.text("/runs")
        assert "Nobody has replayed" in pages.text("/audit")
