"""Alert rules: they ask for what the workers export, say what to do, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from exported_metrics import exported_names

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_what_is_exported_and_says_what_to_do(rule: dict[str, Any]) -> None:
    """Its series exist, its severity is one of three, and its link leads to a section of the runbook."""
    series = set(re.findall(r"\b(?:velocity|batch|chunk|concurrency)_[a-z_]+\b", rule["expr"]))
    assert series or rule["expr"].startswith("up{")
    assert series <= exported_names()
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/runbook.md"
    assert anchor == rule["alert"].lower()


def test_the_runbook_has_a_section_for_each_alert_and_for_nothing_else() -> None:
    """In the order of the rules."""
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_what_the_runbook_names_exists() -> None:
    """Metrics are exported; commands are commands."""
    from console.main import app

    named = set(re.findall(r"`(velocity_[a-z_]+|concurrency_utilization)`", RUNBOOK))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported_names()}
    assert named <= bases
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {group.name for group in app.registered_groups}
    asked = set(re.findall(r"`velocity ([a-z]+)", RUNBOOK))
    assert asked <= commands | groups, asked - commands - groups


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus, which is not installed")
@pytest.mark.parametrize(
    "command",
    [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_prometheus_takes_the_rules_and_fires_them(command: tuple[str, ...]) -> None:
    """Prometheus' own checks, and series for which somebody is told or nobody is."""
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
