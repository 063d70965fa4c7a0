"""The pages of docs/ say what the code has, all of it and nothing else.

What must be documented is collected from the code (settings classes, metric registries, refusal
codes, the catalogue, commands, routes) and compared with the tables of the pages, so that a page
cannot fall behind in silence.
"""

import re
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from api.app import create_app, create_service
from api.gateway import app as gateway
from api.gateway.intake import Intake
from api.gateway.metrics import GatewayMetrics
from api.gateway.senders import read_senders
from api.gateway.settings import GatewaySettings
from api.metrics import ApiMetrics
from api.settings import ApiSettings
from carbon.refusal import REFUSALS, REMEDIES
from cli.main import carbonflow
from producers.client.settings import ClientSettings
from schemas.catalogue import TOPICS
from schemas.certificates import CertificateMetrics
from schemas.probes import Signs, serve_probes
from schemas.settings import variables
from sinks.metrics import FollowingMetrics, SinkMetrics, VerifyMetrics
from sinks.queries import Queries
from streams.metrics import WorkerMetrics
from streams.settings import RECORD_BYTES, WorkerSettings
from tests.commands import READ, commands
from tests.pages import ROOT, first_words, rows, section, words

DOCS = sorted((ROOT / "docs").rglob("*.md"))
REFERENCE = (ROOT / "docs/reference.md").read_text("utf-8")
REFUSED = (ROOT / "docs/refusals.md").read_text("utf-8")
SOURCES = [path for floor in ("cli", "embedded") for path in (ROOT / floor).rglob("*.py")]


# Commands


def test_every_command_is_documented_and_no_other() -> None:
    assert sorted(first_words(section(REFERENCE, "Commands"))) == sorted(commands(carbonflow))


# Settings


# The client is in no command: programs of producers read its settings.
CLASSES = sorted(
    {ClientSettings, *(each for read in READ.values() for each in read)},
    key=lambda cls: cls.__name__,
)
DOCUMENTED = {
    words(row[0])[0]: row[1:]
    for row in rows(REFERENCE)
    if words(row[0]) and words(row[0])[0].startswith("CARBONFLOW_")
}
FIELDS = {
    name: (cls, each)
    for cls in CLASSES
    for each in fields(cls)
    if not is_dataclass(get_type_hints(cls)[each.name])  # Its fields have names of their own.
    for name in variables(each)
}


def asked_for_by_name() -> set[str]:
    """Return the variables that a command looks up itself."""
    sources = "".join(path.read_text("utf-8") for path in SOURCES)
    return set(re.findall(r"environ(?:\.get\(|\[)\s*\"(CARBONFLOW_\w+)\"\s*[,)\]](?! =)", sources))


def default_of(each: Field[Any]) -> str:
    if each.default is MISSING:
        assert each.name == "instance", f"say here how the default of {each.name} is documented"
        return "the host's name"
    match each.default:
        case None:
            return "not set"
        case "" | ():
            return "empty"
        case bool():
            return f"`{str(each.default).lower()}`"
        case _:
            return f"`{each.default}`"


def test_settings_are_found_in_the_code() -> None:
    assert {"worker", "sink", "api", "migrate", "topics", "load", "verify"} <= READ.keys()
    assert len(FIELDS) > 30


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_setting_is_documented_with_its_default_and_its_choices(name: str) -> None:
    assert name in DOCUMENTED, f"{name} is missing from docs/reference.md"
    default, meaning = DOCUMENTED[name]
    cls, each = FIELDS[name]
    assert default == default_of(each)
    hint = get_type_hints(cls)[each.name]
    for kind in (hint, *get_args(hint)):
        if get_origin(kind) is Literal:
            assert set(get_args(kind)) <= set(words(meaning))


def test_no_setting_is_documented_that_nobody_reads() -> None:
    assert DOCUMENTED.keys() - FIELDS.keys() == asked_for_by_name() - FIELDS.keys()


@pytest.mark.parametrize("path", [*DOCS, ROOT / "README.md"], ids=lambda path: path.name)
def test_every_variable_a_page_names_exists(path: Path) -> None:
    named = set(re.findall(r"CARBONFLOW_[A-Z0-9_]*[A-Z0-9]", path.read_text("utf-8")))
    assert named <= FIELDS.keys() | asked_for_by_name()


def test_each_process_reads_the_settings_that_are_said_to_be_its() -> None:
    said = {}
    for process, reads in rows(section(REFERENCE, "Settings")):
        anchors = re.findall(r"\(#([\w-]+)\)", reads)
        titles = [re.sub("^Api$", "API", a.replace("-", " ").capitalize()) for a in anchors]
        said[words(process)[0]] = {v for t in titles for v in first_words(section(REFERENCE, t))}
    assert said == {
        name: {one for cls in read for each in fields(cls) for one in variables(each)}
        for name, read in READ.items()
    }


# Topics and refusals


def test_topics_are_those_of_the_catalogue() -> None:
    day_ms = 86_400_000
    kept = {None: "by compaction", -1: "for ever"}
    assert rows(section(REFERENCE, "Topics")) == [
        [
            f"`{topic.name}`",
            f"`{topic.record}`" if topic.record else "raw bytes",
            topic.key,
            str(topic.partitions),
            topic.cleanup,
            kept.get(topic.retention_ms) or f"{(topic.retention_ms or 0) / day_ms:g} days",
            topic.writer,
        ]
        for topic in TOPICS.values()
    ]


def test_refusals_are_documented_in_their_own_sentences() -> None:
    table = {words(row[0])[0]: row[1] for row in rows(section(REFERENCE, "Refusals"))}
    assert table == dict(REFUSALS)


def test_what_to_do_about_a_code_is_what_show_says() -> None:
    table = {words(row[0])[0]: row[1:] for row in rows(section(REFUSED, "What to do"))}
    assert table == {code: [meaning, REMEDIES[code]] for code, meaning in REFUSALS.items()}


def test_what_to_do_names_commands_and_options_that_exist() -> None:
    known = commands(carbonflow)
    for line in re.findall(r"(?m)^carbonflow (.+)$", REFUSED):
        name = next(each for each in known if line.startswith(each))
        options = {option for each in known[name].params for option in each.opts}
        options |= {option for each in known[name].params for option in each.secondary_opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= options, line
    for remedy in REMEDIES.values():
        for command in re.findall(r"`carbonflow ([a-z ]+)", remedy):
            assert any(each == command.strip() for each in known), remedy


def test_limits_of_the_breaker_are_those_of_the_settings() -> None:
    settings = WorkerSettings()
    text = section(REFUSED, "The breaker")
    for setting, value in (
        ("RECORDS", f"{settings.breaker_records:,}"),
        ("SHARE", str(settings.breaker_share)),
        ("SHARE_RECORDS", f"{settings.breaker_share_records:,}"),
    ):
        assert re.search(rf"`CARBONFLOW_BREAKER_{setting}`[^`]*\({re.escape(value)}\)", text)


def test_sizes_of_slices_are_those_of_the_store() -> None:
    (meaning,) = (
        row[2] for row in rows(REFERENCE) if words(row[0]) == ["CARBONFLOW_SLICE_RECORDS_MAX"]
    )
    in_memory, on_disk = WorkerSettings(), WorkerSettings(store="rocksdb")
    assert f"{in_memory.slice_records_max:,} in memory" in meaning
    assert f"{on_disk.slice_records_max:,} with RocksDB" in meaning
    assert WorkerSettings(store="rocksdb", slice_records_max=100).slice_records_max == 100
    assert WorkerSettings(slice_records_max=100).slice_bytes_max == 100 * RECORD_BYTES
    assert WorkerSettings(slice_bytes_max=100).slice_bytes_max == 100


@pytest.mark.parametrize("code", REFUSALS)
def test_a_code_is_raised_where_the_page_says(code: str) -> None:
    (by,) = (row[2] for row in rows(section(REFERENCE, "Refusals")) if words(row[0]) == [code])
    (module,) = words(by)
    assert by.startswith("loader" if module.startswith("producers/") else "worker")
    assert f'"{code}"' in (ROOT / module).read_text("utf-8")


# Metrics


def metrics_of(kind: Any) -> set[tuple[str, str, tuple[str, ...]]]:
    """Return name, type and labels of what a process exposes."""
    registry = CollectorRegistry()
    described = kind(registry)
    labels = {}
    for each in (getattr(described, name) for name in vars(described)):
        if hasattr(each, "collect") and not isinstance(each, CollectorRegistry):
            (family,) = each.collect()
            # A collector of our own says its labels in the family it makes.
            labels[family.name] = tuple(
                (each if hasattr(each, "_labelnames") else family)._labelnames
            )
    return {
        (
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            labels[family.name],
        )
        for family in registry.collect()
    }


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Metrics of the worker", WorkerMetrics),
        ("Metrics of the sink", SinkMetrics),
        ("Metrics of the API", ApiMetrics),
        ("Metrics of the gateway", GatewayMetrics),
        ("Metrics of followed balances", FollowingMetrics),
        ("Metrics of verify", VerifyMetrics),
        ("Metrics of certificates", lambda registry: CertificateMetrics(registry, {})),
    ],
)
def test_metrics_are_documented_with_type_and_labels(title: str, kind: Any) -> None:
    table = {
        (words(name)[0], each, tuple(label.strip() for label in labels.split(",") if label))
        for name, each, labels, _ in rows(section(REFERENCE, title))
    }
    assert table == metrics_of(kind)


def test_metrics_of_processes_are_those_of_the_library() -> None:
    documented = {
        (words(row[0])[0], row[1]) for row in rows(section(REFERENCE, "Metrics of processes"))
    }
    assert documented == {
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in ProcessCollector(registry=None).collect()
    }


# Routes


def test_routes_are_those_of_the_application_and_of_the_stack() -> None:
    nowhere: Any = None  # Nobody asks.
    queries = Queries(nowhere)
    registry = CollectorRegistry()
    app = create_app(queries, settings=ApiSettings(), registry=registry, programmes={})
    service = create_service(queries, settings=ApiSettings(), registry=registry)
    served = {
        f"{method.upper()} {path}"
        for part in (app, service)
        for path, methods in part.openapi()["paths"].items()
        for method in methods
    }
    own = {path for path in (app.docs_url, app.redoc_url, app.openapi_url) if path}
    added = re.findall(
        r"@app\.(\w+)\(\"([^\"]+)\"", (ROOT / "embedded/serving.py").read_text("utf-8")
    )
    stack = {f"{method.upper()} {path}" for method, path in added}
    own.add("/console")
    documented = first_words(section(REFERENCE, "Routes"))
    assert sorted(documented) == sorted(served | stack | {f"GET {path}" for path in own})


def test_routes_of_the_gateway_are_those_of_its_applications(tmp_path: Path) -> None:
    nowhere: Any = None  # Nobody sends.
    intake: Intake = nowhere
    path = tmp_path / "senders.toml"
    path.write_text('[[senders]]\nname = "a"\nprogramme = "p"\n')
    settings, registry = GatewaySettings(), CollectorRegistry()
    metrics = GatewayMetrics(registry)
    app = gateway.create_app(
        read_senders(path, None), intake, settings=settings, tokens=None, metrics=metrics
    )
    service = gateway.create_service(
        intake, str, settings=settings, registry=registry, metrics=metrics
    )
    served = {
        f"{method.upper()} {path}"
        for part in (app, service)
        for path, methods in part.openapi()["paths"].items()
        for method in methods
    }
    own = {f"GET {path}" for path in (app.docs_url, app.openapi_url)}
    assert sorted(first_words(section(REFERENCE, "Routes of the gateway"))) == sorted(served | own)


def test_routes_of_worker_sink_and_verify_are_those_of_their_probes() -> None:
    signs = Signs()
    signs.waits_for(str)
    port = serve_probes(CollectorRegistry(), signs, host="127.0.0.1", port=0)
    for route in first_words(section(REFERENCE, "Routes of worker, sink and verify")):
        method, path = route.split()
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", method=method)) as answer:
            assert answer.status == 200


# Everything


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    titles = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"(?m)^#+ (.+)$", text)
    }
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        assert (path.parent / file).exists() if file else anchor in titles, target
