"""The shipped Prometheus files: promtool accepts them, they name what exists, each alert is tested.

`promtool` is that of Debian's Prometheus, the oldest they are made for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cli.main import carbonflow
from tests.monitoring.shipped import (
    BY_PROMETHEUS,
    CONFIG,
    PROMETHEUS,
    RULES,
    TESTS,
    Named,
    alerts,
    exported,
    loaded,
    recorded,
    rules,
)
from tests.pages import ROOT, section
from tests.prometheus_server import promtool

RUNBOOK = (ROOT / "docs/runbook.md").read_text("utf-8")
NAMES = [rule["alert"] for rule in alerts()]
PARTS = ("**What it means.**", "**Look at.**", "**Do.**", "**Over when.**")
FROM_SCRAPES = {"job", "instance"}


def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    done = promtool("check", "config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in RULES:
        assert f"Checking {path}" in done.stdout


def test_the_rules_pass_their_tests() -> None:
    done = promtool("test", "rules", *TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(TESTS) > 0


def test_a_rule_that_is_wrong_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for path in (*RULES, *TESTS):
        text = path.read_text("utf-8").replace("> 0.05", "> 0.5")
        (tmp_path / path.relative_to(PROMETHEUS)).write_text(text, "utf-8")
    done = promtool("test", "rules", *(tmp_path / "tests" / path.name for path in TESTS))
    assert done.returncode != 0
    assert re.search("RefusalShareHigh", done.stdout + done.stderr)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tested_where_it_fires_and_where_it_does_not(name: str) -> None:
    expected = [
        bool(test["exp_alerts"])
        for path in TESTS
        for each in loaded(path)["tests"]
        for test in each.get("alert_rule_test", ())
        if test["alertname"] == name
    ]
    assert set(expected) == {True, False}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_metrics_and_labels_that_are_exported(rule: dict[str, Any]) -> None:
    known = exported()
    named = Named.of(rule["expr"])
    assert named.metrics
    assert named.metrics <= known.keys() | recorded().keys() | BY_PROMETHEUS
    labels = set[str]().union(*(labels_of(name) for name in named.metrics))
    assert named.labels <= labels | FROM_SCRAPES


def labels_of(name: str) -> frozenset[str]:
    """Return the labels that a metric, exported or recorded, may have."""
    if name in recorded():
        return Named.of(recorded()[name]).labels
    return exported().get(name, frozenset())


def test_recording_rules_have_different_names_of_one_form() -> None:
    names = [rule["record"] for rule in rules() if "record" in rule]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"carbonflow:[a-z_]+:[a-z0-9_]+", name)


@pytest.mark.parametrize("rule", alerts(), ids=NAMES)
def test_an_alert_says_how_urgent_it_is_what_it_is_and_where_to_read_on(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert len(said["summary"]) < 80
    assert said["description"].endswith(".")
    assert said["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    text = section(RUNBOOK, rule["alert"])
    assert [text.count(part) for part in PARTS] == [1] * len(PARTS)
    assert "```sh" in text.partition("**Look at.**")[2].partition("**Do.**")[0]


def test_each_section_of_the_runbook_is_of_an_alert() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert sorted(re.findall(r"(?m)^## (.+)$", RUNBOOK)) == sorted(NAMES)
    listed = RUNBOOK.partition("\n## ")[0]
    assert sorted(re.findall(r"\[(\w+)\]\(#\w+\)", listed)) == sorted(NAMES)


def test_commands_of_the_runbook_exist_with_their_options() -> None:
    lines = [
        line.split("|")[0]
        for block in re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL)
        for line in re.findall(r"(?m)^(?:CARBONFLOW_\w+=\S+ )*carbonflow (.+)$", block)
    ]
    assert len(lines) > 20
    for line in lines:
        words, command = line.split(), carbonflow.commands[line.split()[0]]
        if hasattr(command, "commands"):
            command = command.commands[words[1]]
        options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", line)) <= options, line
        given = [word for word in words if not word.startswith("-")]
        assert len(given) >= 1


def test_metrics_that_the_runbook_names_exist() -> None:
    known = exported()
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in known}
    for name in re.findall(r"carbonflow_[a-z_0-9]*[a-z0-9](?![a-z_0-9(])", RUNBOOK):
        assert name in known.keys() | families, name
    for name in re.findall(r"carbonflow:[a-z_0-9:]+", RUNBOOK):
        assert name in recorded(), name
    for prefix, rest in re.findall(r"(carbonflow_[a-z_]*)\(([^\s\"']+)\)", RUNBOOK):
        for one in re.sub(r"\([^()]*\)", "", rest).replace(")", "").split("|"):
            name = prefix + re.match(r"[a-z_]*", one)[0].rstrip("_")  # type: ignore[index]
            assert name in known.keys() | families, name


def test_every_job_is_a_command_of_its_own_that_serves_metrics() -> None:
    config = loaded(CONFIG)
    jobs = {job["job_name"]: job["static_configs"] for job in config["scrape_configs"]}
    assert (
        jobs.keys() == {"worker", "sink", "api", "gateway", "verify"} <= carbonflow.commands.keys()
    )
    targets = [target for found in jobs.values() for one in found for target in one["targets"]]
    assert targets == [
        *("worker-0:9101", "worker-1:9101", "sink:9101"),
        *("api:9101", "gateway:9101", "verify:9101"),
    ]
