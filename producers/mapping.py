"""Mapping: a small TOML that says how foreign columns become charging sessions or freight trips.

A mapping in five minutes::

    name = "my-chargers"
    record = "charging_session"             # or freight_trip; the fields are those of schemas/avro
    zone = "Europe/Berlin"                 # for times that don't carry a zone of their own
    format = ["%d.%m.%Y %H:%M", "iso"]     # iso, unix, unix_ms or strptime; iso if left out
    null = ["", "NULL", "NA"]              # words that mean "no value"; "" if left out
    null_dates = ["1899-12-30"]            # so do these dates
    delimiter = ";"                        # CSV only; "," if left out
    encoding = "gb18030"                   # CSV and JSON Lines; utf-8 if left out
    decimal = ","                          # "." if left out
    thousands = "."                        # none if left out

    [fields]
    session_id = "Order No"                            # a column, just as it is
    source = { value = "my-chargers" }                 # a constant
    evse_id = { template = "{Station}-{Plug}" }        # composed from columns
    energy_wh = { column = "Energy", unit = "kWh" }    # the unit of the column: exact, no floats
    started_at = { column = "Start", zone = "UTC" }    # overrides what stands above
    ended_at = { column = ["Unplugged", "Paid"] }      # the first that has a value
    current = { column = "Plug", regex = "(AC|DC)", lookup = "currents" }    # capture, then table
    vehicle_class = { column = "Class", lookup = "classes", fold = true, default = "car" }
    grid_region = [                                    # alternatives, tried in order
        { column = "Site", regex = "^(DE|FR)-" },
        { value = "EU" },
    ]
    account_id = { column = "Customer", pseudonym = true }    # only its pseudonym leaves here
    programme = { value = "cn-charging" }
    meter_side = { value = "dispenser" }
    operator_id = { value = "me" }

    [lookup.currents]
    AC = "ac"
    DC = "dc"

    [lookup.classes]
    "City Bus" = "bus"

A text goes through these steps, each optional: null words → `regex` (its first group, or all of the
match) → `lookup` → `unit` and `multiply` (any exact number, such as a load factor 0.6), or `format`
and `zone`. With `fold = true` a look-up compares keys after folding case and taking every run of
characters other than letters, digits and dots as one space, so "24 / 26 FT" is "24 | 26 ft".

* `default` stands in for an empty column only, never for a value that can't be read.
* The next alternative is tried when a column is empty, the regex doesn't match or the table has no
  such key. A number or a time that can't be read is final: the row is refused.
* A quantity needs its `unit`: Wh, kWh, MWh, MJ; m, km, mi; g, kg, t, lb; ml, l, gal. Rounding is
  once, half to even.
* `pseudonym`, of account_id alone, says that what the rules give is a natural id. A pseudonym
  stands for it in the record (`producers.pseudonyms`), and refusals don't show it.
* A column of nested JSON is written with dots: "location.country".
* Fields with a default in the record (`reversal_of`, `revision`, `energy_used`) may be left out.

`MappingError` names the line and the field. It is raised before the first row is read.
"""

import codecs
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from producers.convert import EPOCH, FIELD_UNITS, MILLISECOND, NUMBER, UNITS
from producers.rules import FileMapping, MappedField, Rule, Value, fold
from producers.tables import MappingError, Table, like
from producers.targets import RECORDS, targets
from schemas.fields import Field

__all__ = ["MappingError", "load_mapping", "parse_mapping"]

TOP_KEYS = (
    *("name", "title", "record", "fields", "lookup", "zone", "format", "null", "null_dates"),
    *("delimiter", "encoding", "decimal", "thousands"),
)
RULE_KEYS = (
    *("column", "value", "template", "regex", "lookup", "fold", "unit", "multiply"),
    *("zone", "format", "null", "default", "pseudonym"),
)
TEMPLATE_COLUMN = re.compile(r"\{([^{}]+)\}")
_CONSTANTS = {
    "string": "a string",
    "enum": "a symbol",
    "int": "a whole number",
    "long": "a whole number in the field's own unit",
    "instant": "a date-time with an offset",
}
_INSTANT_KEYS = (("zone", "instant"), ("format", "instant"))
INT_LIMITS = {"int": 2**31, "long": 2**63}


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What the top of a mapping says for all its fields."""

    zone: str
    formats: tuple[str, ...]
    null: tuple[str, ...]
    lookups: Mapping[str, object]


def _zone(table: Table, name: str) -> tzinfo:
    if name in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        table.wrong(f"{name!r} is not a time zone; write one such as 'Asia/Shanghai'")


def _constant(table: Table, target: Field, value: object) -> Value:
    """Check a constant or a default against its field; instants are written as TOML date-times."""
    fits = False
    match target.kind:
        case "string":
            fits = isinstance(value, str)
            if target.name == "source" and ":" in str(value):
                table.wrong("source may not contain ':'")
        case "enum":
            fits = value in target.symbols
        case "int" | "long":
            if isinstance(value, int) and not isinstance(value, bool):
                fits = abs(value) < INT_LIMITS[target.kind]
        case "instant":
            if isinstance(value, datetime) and value.tzinfo is not None:
                return (value - EPOCH) // MILLISECOND
    if not fits:
        choice = f", one of {', '.join(target.symbols)}" if target.symbols else ""
        table.wrong(f"a constant must be {_CONSTANTS[target.kind]}{choice}, not {value!r}")
    assert isinstance(value, str | int)
    return value


def _factor(table: Table, target: Field) -> Fraction:
    """Return what a number in the file is multiplied by to be in the unit of its field."""
    factor = Fraction(1)
    multiply = table.values.get("multiply", 1)
    if isinstance(multiply, bool) or not NUMBER.fullmatch(str(multiply)):
        table.wrong(f"multiply must be a number, not {multiply!r}")
    factor *= Fraction(str(multiply))
    dimensions, small_per_own = FIELD_UNITS.get(target.name, (frozenset(), 1))
    if not dimensions:
        if "unit" in table.values:
            table.wrong("the field has no unit")
        return factor
    units = [name for name, unit in UNITS.items() if unit.dimension in dimensions]
    name = table.text("unit", "")
    if not name:
        table.wrong(f"the unit of the column is missing; one of {', '.join(units)}")
    if name not in units:
        table.wrong(f"unit {name!r} is none of {', '.join(units)}{like(name, units)}")
    return factor * UNITS[name].small / small_per_own


def _lookup(table: Table, defaults: _Defaults) -> Mapping[str, str] | None:
    value = table.values.get("lookup")
    if value is None:
        return None
    if isinstance(value, str):
        if value not in defaults.lookups:
            hint = like(value, defaults.lookups)
            table.wrong(f"there is no look-up table [lookup.{value}]{hint}")
        value = defaults.lookups[value]
    if not isinstance(value, dict) or not value:
        table.wrong("lookup must be a table or the name of one")
    entries: dict[str, str] = {}
    for key, entry in value.items():
        if not isinstance(entry, str):
            table.wrong(f"lookup: {key!r} must give a string, such as '14'")
        known = fold(key) if table.truth("fold") else key
        if entries.setdefault(known, entry) != entry:
            table.wrong(f"lookup: {key!r} is another entry's key once folded")
    return entries


def _regex(table: Table) -> re.Pattern[str] | None:
    if "regex" not in table.values:
        return None
    try:
        regex = re.compile(table.text("regex", ""))
    except re.error as wrong:
        table.wrong(f"regex: {wrong}")
    if regex.groups > 1:
        table.wrong("regex has more than one group; write (?:...) for those that only group")
    return regex


def _pieces(table: Table) -> list[tuple[str, ...]]:
    """Return the texts a rule starts from: one for each column of a list, or one for a template."""
    if "template" in table.values:
        pieces = tuple(TEMPLATE_COLUMN.split(table.text("template", "")))
        if len(pieces) == 1:
            table.wrong("the template names no column; write it as {Column}, or use value")
        return [tuple(p.strip() if i % 2 else p for i, p in enumerate(pieces))]
    return [("", column.strip(), "") for column in table.texts("column", ())]


def _formats(table: Table, defaults: _Defaults) -> tuple[str, ...]:
    formats = table.texts("format", defaults.formats)
    for pattern in formats:
        if pattern not in ("iso", "unix", "unix_ms") and "%" not in pattern:
            table.wrong(f"format {pattern!r} is neither iso, unix, unix_ms nor a strptime pattern")
    return formats


def _rules(table: Table, target: Field, defaults: _Defaults) -> list[Rule]:
    """Return the rules one table stands for: one for each column, and one for the default."""
    table.only(RULE_KEYS)
    starts = [key for key in ("column", "value", "template") if key in table.values]
    if len(starts) != 1:
        table.wrong("write one of column, value and template")
    if starts == ["value"]:
        if len(table.values) > 1:
            table.wrong("a value stands alone")
        return [Rule(constant=_constant(table, target, table.values["value"]))]
    for key, kind in (("unit", "number"), ("multiply", "number"), *_INSTANT_KEYS):
        numeric = target.kind in ("int", "long")
        if key in table.values and kind != ("number" if numeric else target.kind):
            table.wrong(f"{key} does not fit a field of type {target.kind}")
    zone = table.text("zone", defaults.zone)
    formats = _formats(table, defaults)
    instant = target.kind == "instant"
    if instant and not zone and not all(f.startswith("unix") or "%z" in f for f in formats):
        table.wrong("the zone is missing; it holds for times that don't carry their own")
    rule = Rule(
        regex=_regex(table),
        lookup=_lookup(table, defaults),
        fold=table.truth("fold"),
        factor=_factor(table, target) if target.kind in ("int", "long") else Fraction(1),
        zone=_zone(table, zone) if instant and zone else UTC,
        formats=formats,
        null=frozenset({"", *(word.strip() for word in table.texts("null", defaults.null))}),
    )
    rules = [replace(rule, pieces=pieces) for pieces in _pieces(table)]
    if "default" in table.values:
        default = _constant(table, target, table.values["default"])
        rules.append(Rule(constant=default, only_if_empty=True))
    return rules


def _field(table: Table, target: Field, value: object, defaults: _Defaults) -> list[Rule]:
    """Return the rules of one field: a column's name, a table, or a list of alternatives."""
    alternatives = value if isinstance(value, list) else [value]
    rules: list[Rule] = []
    for alternative in alternatives:
        if rules and not rules[-1].pieces:
            table.wrong("nothing can follow a value or a default")
        if isinstance(alternative, str):
            inner: Mapping[str, object] = {"column": alternative}
        elif isinstance(alternative, dict):
            inner = alternative
        else:
            table.wrong("write a column's name, a table, or a list of them")
        rules += _rules(Table(inner, table.where), target, defaults)
    if not rules:
        table.wrong("the list of alternatives is empty")
    return rules


def _is_pseudonym(table: Table, target: Field, value: object) -> bool:
    """Return whether a field says so, which it does in all of its alternatives or in none."""
    said = {
        Table(each, table.where).truth("pseudonym") if isinstance(each, dict) else False
        for each in (value if isinstance(value, list) else [value])
        if not (isinstance(each, dict) and "value" in each)
    }
    if True in said and target.name != "account_id":
        table.wrong("pseudonym is for account_id alone")
    if len(said) > 1:
        table.wrong("every alternative must say pseudonym = true, or none")
    return True in said


def _check_secrets(mapping: FileMapping) -> None:
    """Check that no other field shows a natural id."""
    for field in mapping.fields:
        if not field.pseudonym and (seen := mapping.natural_columns.intersection(field.columns)):
            Table({}, f"{mapping.origin}:{field.line}: {field.target.name}").wrong(
                f"column {min(seen)!r} is a natural id, which account_id keeps secret"
            )


def _null_dates(top: Table) -> frozenset[date]:
    days = top.values.get("null_dates", [])
    try:
        return frozenset(
            day if isinstance(day, date) else date.fromisoformat(str(day))
            for day in (days if isinstance(days, list) else [days])
        )
    except ValueError:
        top.wrong("null_dates must be dates such as '1899-12-30'")


def _line_of(text: str, field: str) -> int:
    """Return the line of the TOML a field is written on."""
    at = re.search(
        rf"(?m)^\s*\[*\s*(?:fields\s*\.\s*)?[\"']?{re.escape(field)}[\"']?\s*[\]=.]", text
    )
    return text.count("\n", 0, at.start(0)) + 1 if at else 1


def parse_mapping(text: str, *, origin: str) -> FileMapping:
    """Read and check a mapping.

    Args:
        text: The TOML.
        origin: Where it comes from, for the messages.

    Raises:
        MappingError: It isn't TOML or no mapping; the message names the line and the field.
    """
    try:
        # Decimals stay decimal: a factor of 0.6 is six tenths and not the nearest double.
        values = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as wrong:
        # Numbers of thousands of digits and nesting without end are TOML to the library.
        raise MappingError(f"{origin}: {wrong}") from None
    top = Table(values, origin)
    top.only(TOP_KEYS)
    record = top.text("record", "")
    if record not in RECORDS:
        top.wrong(f"record must be {' or '.join(RECORDS)}, not {record!r}")
    if len(delimiter := top.text("delimiter", ",")) != 1:
        top.wrong("delimiter must be one character")
    try:
        encoding = codecs.lookup(top.text("encoding", "utf-8")).name
        # Some are not of text, and some cannot leave bytes as they are.
        "A".encode(encoding).decode(encoding, "surrogateescape")
    except (LookupError, ValueError):
        top.wrong(f"encoding {values['encoding']!r} is unknown, or no file can be read by it")
    given, lookups = values.get("fields"), values.get("lookup", {})
    if not isinstance(given, dict) or not isinstance(lookups, dict):
        top.wrong("the table [fields] is missing, or lookup is not a table")
    defaults = _Defaults(
        top.text("zone", ""), top.texts("format", ("iso",)), top.texts("null", ("",)), lookups
    )
    known = {target.name: target for target in targets(record)}
    fields: dict[str, MappedField] = {}
    for name, value in given.items():
        line = _line_of(text, name)
        table = Table({}, f"{origin}:{line}: {name}")
        if name not in known:
            table.wrong(f"{record} has no such field{like(name, known)}")
        rules = _field(table, known[name], value, defaults)
        is_pseudonym = _is_pseudonym(table, known[name], value)
        fields[name] = MappedField(known[name], tuple(rules), line, is_pseudonym)
    missing = [t.name for t in known.values() if not t.has_default and t.name not in fields]
    if missing:
        top.wrong(f"[fields] lacks {', '.join(missing)}, which {record} requires")
    mapping = FileMapping(
        name=top.text("name", Path(origin).stem),
        origin=origin,
        record=record,
        fields=tuple(fields[name] for name in known if name in fields),
        null_dates=_null_dates(top),
        delimiter=delimiter,
        encoding=encoding,
        decimal=top.text("decimal", "."),
        thousands=top.text("thousands", ""),
        digest=sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16],
    )
    _check_secrets(mapping)
    return mapping


def load_mapping(name_or_path: str | Path) -> FileMapping:
    """Return a shipped mapping by its name, such as "acn-data", or the one in a file.

    Raises:
        MappingError: There is neither, or it can't be used.
    """
    shipped = resources.files("producers").joinpath("mappings")
    names = sorted(
        f.name.removesuffix(".toml") for f in shipped.iterdir() if f.name.endswith(".toml")
    )
    if str(name_or_path) in names:
        file = f"{name_or_path}.toml"
        return parse_mapping(shipped.joinpath(file).read_text("utf-8"), origin=file)
    try:
        text = Path(name_or_path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise MappingError(
            f"{name_or_path}: neither a mapping that is shipped ({', '.join(names)}) "
            f"nor a file that can be read: {wrong}"
        ) from None
    return parse_mapping(text, origin=str(name_or_path))
