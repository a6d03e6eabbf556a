"""A report as a file: what it says adds up, what it is named stays text, and nothing in it depends on the moment."""

import re
from typing import Any

import pytest

from console.audit import Findings, Problem, Totals
from console.audit_run import AuditReport
from console.insight.report import Identity, Letters, ReportContent, SiteResults, identity_of
from console.insight.report_page import render_report
from runtime.settings import Settings

HOSTILE = "</style><script>alert('x')</script>"


def content(name: str = "S1", problems: tuple[str, ...] = (), told: dict[str, Any] | None = None) -> ReportContent:
    """A report of one site; `name` stands wherever somebody else decides on a text."""
    totals = Totals(delivered=100, in_batches=90, in_corrections=5, dead_lettered=3, open=2)
    findings = Findings([Problem(name, what) for what in problems], [f"a note on {name}"])
    letters = Letters(total=3, waiting=3, by_class={"missing_field": 2, "not_json": 1})
    cells = [
        {"source": source, "state": "complete", "records": 90, "batches": 1, "corrections": 0, "open_records": 0}
        for source in ("orders", "returns", "cycle-counts")
    ]
    grid = [{"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "complete": True, "cells": cells}]
    audit = AuditReport(totals, {name: totals}, findings, partitions=6, batches=9, deep=False)
    site = SiteResults(name, "2026-01-01T01:00:00Z", told or run(name), "", grid)
    return ReportContent(audit, letters, [site], Identity("1", ("1",), (name,), {"a": name}), "rolling_30d", None)


def run(name: str) -> dict[str, Any]:
    """Two SKUs, of which one is new."""
    described = {"run_id": "r" * 64, "as_of": "2026-01-01T01:00:00Z", "start": "2025-12-02T01:00:00Z"}
    return {
        "run": {**described, "skus": 2, "coverage": 1.0},
        "former": described,
        "metric": "normalized_lines",
        "matrix": [{"abc_class": "A", "xyz_class": "X", "skus": 2, "picks": 95, "units": 95}],
        "pareto": [{"rank": 1, "sku_share": 0.5, "demand_share": 0.9, "abc_class": "A"}],
        "fastest": [{"sku": name, "velocity_coefficient": 3.0, "class": "AX"}],
        "migration": [{"before": None, "after": "AX", "skus": 1}, {"before": "AX", "after": "AX", "skus": 1}],
        "movers": [
            {"sku": name, "before": 0.0, "after": 3.0, "change": 3.0, "class_before": None, "class_after": "AX"}
        ],
    }


def test_the_figures_of_a_report_are_those_of_its_content() -> None:
    """Conservation, classes, the share that most demand rests on, letters by class with their meanings."""
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render_report(content())))
    for said in ("Complete: every", "2 SKUs as of", "50.0% of the SKUs have 80 % of the demand", "missing_field 2"):
        assert said in text
    assert "S1 100 90 5 3 2 0" in text


@pytest.mark.parametrize("name", [HOSTILE, "{{ 7*7 }}", '" onload="x'])
def test_whatever_is_named_in_a_report_stays_text(name: str) -> None:
    """Sites, SKUs, topics, notes, hashes and settings may hold anything: none of it becomes markup or a template."""
    text = render_report(content(name, problems=("is lost",)))
    assert "<script" not in text
    assert text.count("</style>") == 1
    assert 'onload="x' not in text
    assert "49" not in re.findall(r">([^<]*)<", text)


def test_an_audit_that_is_not_complete_is_said_first() -> None:
    """In the verdict at the top, and each problem with where it is."""
    text = render_report(content(problems=("its manifests are missing",)))
    assert text.index("NOT complete") < text.index("Conservation</h2>")
    assert "S1: its manifests are missing" in text


def test_a_site_without_a_run_says_why() -> None:
    """And shows its windows all the same."""
    given = content()
    bare = SiteResults("S2", None, None, "there is no calculation for S2", given.sites[0].grid)
    text = render_report(ReportContent(given.audit, given.letters, [bare], given.identity, "rolling_30d", None))
    assert "No classes: there is no calculation for S2" in text
    assert "1 of the latest 1 windows are complete" in text


def test_no_secret_is_part_of_what_made_a_report() -> None:
    """Only settings that decide on results are named."""
    settings = Settings(kafka={"sasl_password": "hunter2"}, serve={"token": "hunter2"})  # type: ignore[arg-type]
    assert "hunter2" not in str(identity_of(settings, {}))
