"""Dashboard and alerts: generated as they stand, about series that the workers export, and with somewhere to go."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from exported_metrics import series_of
from promql import metric_names

import batcher.metrics
import runtime.health
import streams.metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "velocity.json"
ALERTS: dict[str, Any] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DURATION = r"\d+[smhd]"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not on the PATH (Debian: apt install prometheus); the other tests here need none",
)


def exported_names() -> set[str]:
    """Every series that the workers export, and Prometheus' own `up`."""
    return {"up"} | series_of(streams.metrics, batcher.metrics, runtime.health)


def dashboard_queries() -> list[str]:
    """Every query of the dashboard."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in the folder of the rules."""
    return subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up", {"up"}),
        ('up{job=~"a|b{2}"} == 0', {"up"}),
        (
            "sum by (source) (rate(a_total[1m])) > 0.05 * sum by (source) (rate(b_total[15m] offset 1h))",
            {"a_total", "b_total"},
        ),
        ("histogram_quantile(0.99, sum by (le) (rate(x_seconds_bucket[5m])))", {"x_seconds_bucket"}),
        ("absent(c) or sum(c) == 0 and on (instance) d unless e", {"c", "d", "e"}),
    ],
)
def test_names_of_series_are_told_from_functions_labels_and_words(expression: str, names: set[str]) -> None:
    """What the two tests below rest on."""
    assert metric_names(expression) == names


def test_every_query_of_the_dashboard_reads_what_the_workers_export() -> None:
    """The metrics that others rely on are shown."""
    series = set().union(*map(metric_names, dashboard_queries()))
    assert series - exported_names() == set()
    assert {"batch_processing_duration_seconds_bucket", "chunk_success_rate", "concurrency_utilization"} <= series


def test_every_alert_reads_what_the_workers_export() -> None:
    """An alert on a series that nobody exports would never fire."""
    assert {name for rule in RULES for name in metric_names(rule["expr"])} - exported_names() == set()


def test_every_metric_is_explained() -> None:
    """docs/observability.md has a line for each."""
    text = (ROOT / "docs" / "observability.md").read_text("utf-8")
    explained = set(re.findall(r"`([a-z_]+)`", text))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported_names()} - {"up"}
    assert bases - explained == set()


def test_the_dashboard_is_what_its_generator_writes() -> None:
    """`make dashboard` after a change to the table of panels."""
    generator = runpy.run_path(str(ROOT / "deploy" / "grafana" / "generate.py"))
    assert DASHBOARD.read_text("utf-8") == generator["text"](), "stale: run `make dashboard`"


def test_no_panel_lies_on_another() -> None:
    """Twenty-four columns, every cell of which has one panel at most."""
    cells: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        rows = range(place["y"], place["y"] + place["h"])
        ours = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in rows}
        assert max(x for x, _ in ours) < 24
        assert not ours & cells, panel["title"]
        cells |= ours


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_alerts_are_groups_of_rules_with_all_that_a_person_needs() -> None:
    """The keys that Prometheus knows, a severity, and three texts."""
    assert set(ALERTS) == {"groups"}
    assert all(set(group) <= {"name", "rules", "interval"} for group in ALERTS["groups"])
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert re.fullmatch(DURATION, rule.get("for", "0s"))


def test_every_alert_has_a_section_of_the_runbook_and_every_section_an_alert() -> None:
    """Each section says what it means, what to look at and what to do."""
    text = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == {rule["alert"] for rule in RULES}
    for name, section in sections.items():
        assert all(f"**{part}**" in section for part in ("Means.", "Look at.", "Do.")), name
    for rule in RULES:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_prometheus_reads_the_rules_where_compose_mounts_them() -> None:
    """`rule_files` is relative to the configuration."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    mounts = dict(volume.split(":")[1::-1] for volume in compose["services"]["prometheus"]["volumes"])
    (name,) = config["rule_files"]
    assert mounts[f"/etc/prometheus/{name}"] == f"./deploy/prometheus/{name}"


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_prometheus_itself_agrees(arguments: tuple[str, ...]) -> None:
    """With the rules, the configuration, and with when which alert fires."""
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
