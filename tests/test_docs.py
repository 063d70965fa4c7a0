"""The pages of docs/ say what the code has, all of it and nothing else.

What must be documented is collected from the code (settings classes, metric registries, refusal
codes, the catalogue, commands, routes) and compared with the tables of the pages, so that a page
cannot fall behind in silence.
"""

import ast
import csv
import inspect
import re
import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app, create_service
from api.metrics import ApiMetrics
from api.settings import ApiSettings
from carbon.refusal import REFUSALS, REMEDIES
from cli.main import carbonflow
from producers.client.settings import ClientSettings
from producers.convert import UNITS
from producers.files import SUFFIXES, read_file
from producers.mapping import RULE_KEYS, TOP_KEYS, parse_mapping
from producers.rules import FileMapping
from producers.targets import RECORDS
from schemas.catalogue import TOPICS
from schemas.settings import variables
from sinks.metrics import FollowingMetrics, SinkMetrics
from sinks.queries import Queries
from streams.metrics import WorkerMetrics
from streams.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
REFERENCE = (ROOT / "docs/reference.md").read_text("utf-8")
MAPPING = (ROOT / "docs/mapping.md").read_text("utf-8")
REFUSED = (ROOT / "docs/refusals.md").read_text("utf-8")

SOURCES = [path for floor in ("cli", "embedded") for path in (ROOT / floor).rglob("*.py")]


def section(page: str, title: str) -> str:
    """Return a section without its subsections."""
    found = re.search(rf"(?ms)^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page)
    assert found, f"there is no section {title!r}"
    return found.group(1)


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows, without heads."""
    lines = re.findall(r"(?m)^\|(.*)\|$", text)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    rules = [at for at, row in enumerate(cells) if set("".join(row)) == {"-"}]
    return [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]


def words(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_words(text: str) -> list[str]:
    return [word for row in rows(text) for word in words(row[0])]


# Commands


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


def test_every_command_is_documented_and_no_other() -> None:
    assert sorted(first_words(section(REFERENCE, "Commands"))) == sorted(commands(carbonflow))


# Settings


def classes_read(function: Any, seen: set[Any]) -> set[type]:
    """Return the settings classes that a function of cli reads, or those it calls there."""
    function = inspect.unwrap(function)
    if function in seen:
        return set()
    seen.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    known = dict(function.__globals__)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = import_module(node.module)
            known |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
    found: set[type] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "settings_of":
            assert isinstance(node.args[0], ast.Name)
            found.add(known[node.args[0].id])
            continue
        called = known.get(node.func.id)
        if inspect.isfunction(called) and called.__module__.startswith("cli."):
            found |= classes_read(called, seen)
    return found


READ = {
    name: read
    for name, command in commands(carbonflow).items()
    if (read := classes_read(command.callback, set()))
}
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
        ("Metrics of followed balances", FollowingMetrics),
    ],
)
def test_metrics_are_documented_with_type_and_labels(title: str, kind: Any) -> None:
    table = {
        (words(name)[0], each, tuple(label.strip() for label in labels.split(",") if label))
        for name, each, labels, _ in rows(section(REFERENCE, title))
    }
    assert table == metrics_of(kind)


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
    documented = first_words(section(REFERENCE, "Routes"))
    assert sorted(documented) == sorted(served | stack | {f"GET {path}" for path in own})


# Mapping


def example(language: str) -> str:
    found = re.findall(rf"(?ms)^```{language}\n(.*?)^```", MAPPING)
    assert len(found) == 1
    text: str = found[0]
    return text


@pytest.fixture(scope="module")
def mapping() -> FileMapping:
    return parse_mapping(example("toml"), origin="mapping.md")


def mapped(path: Path, mapping: FileMapping) -> list[dict[str, Any]]:
    blocks = list(read_file(path, mapping))
    assert [row.reason for block in blocks for row in block.refused] == []
    return [row for block in blocks for row in block.batch.to_pylist()]


def test_the_keys_of_a_mapping_are_documented_and_no_others() -> None:
    assert sorted(first_words(section(MAPPING, "What stands at the top"))) == sorted(TOP_KEYS)
    first, second = section(MAPPING, "What a field may say").split("| quantity |")
    assert sorted(first_words(first)) == sorted(RULE_KEYS)
    units = {row[0]: words(row[1]) for row in rows(f"| quantity |{second}")}
    assert units == {
        dimension: [name for name, unit in UNITS.items() if unit.dimension == dimension]
        for dimension in dict.fromkeys(unit.dimension for unit in UNITS.values())
    }


@pytest.mark.parametrize("word", [*RECORDS, ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson"])
def test_records_and_kinds_of_files_are_named(word: str) -> None:
    assert word in (*RECORDS, *SUFFIXES)
    assert f"`{word}`" in MAPPING


def test_the_example_maps_its_csv_as_the_text_says(mapping: FileMapping, tmp_path: Path) -> None:
    path = tmp_path / "sessions.csv"
    path.write_text(example("csv"), "utf-8")
    anna, bo = mapped(path, mapping)
    assert (anna["energy_wh"], bo["energy_wh"]) == (21_400, 1_038_050)
    assert (anna["vehicle_class"], bo["vehicle_class"]) == ("car", "bus")
    assert (anna["grid_region"], bo["grid_region"]) == ("DE", "EU")
    assert anna["evse_id"] == "Mitte-AC 22"
    assert f"{bo['ended_at']:%H:%M}" == "08:50"


def test_the_json_lines_are_the_same_sessions(mapping: FileMapping, tmp_path: Path) -> None:
    lines, table = tmp_path / "sessions.jsonl", tmp_path / "sessions.csv"
    lines.write_text(example("json"), "utf-8")
    table.write_text(example("csv"), "utf-8")
    assert mapped(lines, mapping) == mapped(table, mapping)


def test_parquet_columns_keep_their_types_as_the_text_says(tmp_path: Path) -> None:
    plain = re.sub(r"(?m)^(decimal|thousands) = .*\n", "", example("toml"))
    head, first, _ = csv.reader(example("csv").splitlines(), delimiter=";")
    table = {name: pa.array([text]) for name, text in zip(head, first, strict=True)}
    table["Energy"] = pa.array([21.4])
    table["Start"] = pa.array([1_683_180_000_000], pa.timestamp("ms"))  # 06:00 on the clock
    table["Paid"] = pa.array([1_683_185_400_000], pa.timestamp("ms", "Europe/Berlin"))
    path = tmp_path / "sessions.parquet"
    pq.write_table(pa.table(table), path)
    (session,) = mapped(path, parse_mapping(plain, origin="mapping.md"))
    assert session["energy_wh"] == 21_400
    assert f"{session['started_at']:%H:%M}" == "04:00"  # Paris is two hours ahead
    assert f"{session['ended_at']:%H:%M}" == "07:30"


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
