"""The summary of a run as tables, and how amounts are written for people.

Masses become g, kg, t or kt, energies Wh to GWh, thousands separated. A single amount has five
significant digits; the amounts of a column share one unit and have three decimals, so that they can
be compared at a glance. Rounding here is for the eye only; the JSON form has the integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carbon.refusal import REFUSALS
from embedded.summary import Summary
from sinks.records import Balance, Total

REGIONS_SHOWN = 8

_MASS_MG = (("kt", 10**12), ("t", 10**9), ("kg", 10**6), ("g", 10**3), ("mg", 1))
_ENERGY_WH = (("GWh", 10**9), ("MWh", 10**6), ("kWh", 10**3), ("Wh", 1))
_SENTENCES = frozenset({"why", "reason", "where"})
_TRANSPORT_KG_KM = (("Mtkm", 10**9), ("tkm", 10**3), ("kg km", 1))


def mass(amount_mg: int) -> str:
    """Return a mass [mg] for people.

    >>> mass(10_408_000), mass(-1_234_567_890), mass(0)
    ('10.408 kg', '-1.2346 t', '0 mg')
    """
    return _scaled(amount_mg, _MASS_MG)


def energy(energy_wh: int) -> str:
    """Return an energy [Wh] for people.

    >>> energy(74_044_470)
    '74.044 MWh'
    """
    return _scaled(energy_wh, _ENERGY_WH)


def transport(transport_kg_km: int) -> str:
    """Return a transport activity [kg km] for people.

    >>> transport(12_000_000)
    '12,000 tkm'
    """
    return _scaled(transport_kg_km, _TRANSPORT_KG_KM)


def masses(amounts_mg: Sequence[int | None]) -> list[str]:
    """Return a column of masses [mg] for people, in the unit of their median; None is empty.

    >>> masses([10_408_000, -1_234_567_890, None])
    ['10.408 kg', '-1,234.568 kg', '']
    """
    return _column(amounts_mg, _MASS_MG)


def energies(energies_wh: Sequence[int | None]) -> list[str]:
    """Return a column of energies [Wh] for people."""
    return _column(energies_wh, _ENERGY_WH)


def transports(transports_kg_km: Sequence[int | None]) -> list[str]:
    """Return a column of transport activities [kg km] for people."""
    return _column(transports_kg_km, _TRANSPORT_KG_KM)


def show(summary: Summary, console: Console) -> None:
    """Print a summary."""
    console.print(_totals(summary.totals))
    if summary.top_accounts:
        console.print(_accounts(summary.top_accounts))
    if summary.refused:
        console.print(_refusals(summary.refused))
    if summary.factor_match:
        console.print(_matches(summary.factor_match))
    console.print(_closing(summary))
    for drift in summary.verdict.drift:
        console.print(Text(f"  {drift}", style="red"))


def grid(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> Table:
    """Return a table whose first `left` columns are words and whose others are amounts."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for position, head in enumerate(heads):
        table.add_column(
            head,
            justify="left" if position < left else "right",
            no_wrap=head not in _SENTENCES,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _totals(totals: Sequence[Total]) -> Table:
    """Return each programme's sum and its regions, the busiest first; JSON has all of them."""
    programmes: dict[str, dict[str, list[Total]]] = {}
    for total in totals:
        programmes.setdefault(total.programme, {}).setdefault(total.region, []).append(total)
    places: list[tuple[str, str]] = []
    sums: list[_Sums] = []
    for programme, regions in programmes.items():
        every = [total for found in regions.values() for total in found]
        places.append((programme, "all" if len(regions) > 1 else next(iter(regions))))
        sums.append(_Sums.of(every))
        if len(regions) == 1:
            continue
        busiest = sorted(regions.items(), key=lambda entry: -entry[1][0].activities)
        for region, found in busiest[:REGIONS_SHOWN]:
            places.append(("", region))
            sums.append(_Sums.of(found))
        if rest := busiest[REGIONS_SHOWN:]:
            places.append(("", f"{len(rest)} more"))
            sums.append(_Sums.of([total for _, found in rest for total in found]))
    columns = (
        [f"{each.activities:,}" for each in sums],
        energies([each.energy_wh or None for each in sums]),
        transports([each.transport_kg_km or None for each in sums]),
        masses([each.emitted_mg for each in sums]),
        masses([each.saved_mg for each in sums]),
    )
    rows = [(*place, *cells) for place, *cells in zip(places, *columns, strict=True)]
    heads = ("programme", "region", "activities", "energy", "transport", "emitted", "saved")
    return grid("Totals by programme and region", heads, rows, left=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Sums over some totals; `saved_mg` is None where nothing can be saved."""

    activities: int
    energy_wh: int
    transport_kg_km: int
    emitted_mg: int
    saved_mg: int | None

    @classmethod
    def of(cls, totals: Sequence[Total]) -> _Sums:
        emissions = [total for total in totals if total.quantity == "emission"]
        reductions = [total for total in totals if total.quantity == "reduction"]
        return cls(
            activities=sum(total.activities for total in emissions),
            energy_wh=sum(total.energy_wh for total in emissions),
            transport_kg_km=sum(total.transport_kg_km for total in emissions),
            emitted_mg=sum(total.amount_mg for total in emissions),
            saved_mg=sum(total.amount_mg for total in reductions) if reductions else None,
        )


def _accounts(accounts: Sequence[Balance]) -> Table:
    emitted = masses([account.emissions_mg for account in accounts])
    saved = masses([account.reduction_mg for account in accounts])
    rows = [
        (
            account.account_id,
            account.programme,
            f"{account.session_count + account.trip_count:,}",
            *amounts,
        )
        for account, *amounts in zip(accounts, emitted, saved, strict=True)
    ]
    heads = ("account", "programme", "activities", "emitted", "saved")
    return grid("Top accounts", heads, rows, left=2)


def _refusals(refused: Mapping[str, int]) -> Table:
    rows = [(code, REFUSALS.get(code, ""), f"{count:,}") for code, count in refused.items()]
    return grid("Refused in this run", ("code", "why", "events"), rows, left=2)


def _matches(matches: Mapping[str, int]) -> Table:
    total = sum(matches.values())
    rows = [(how, f"{count:,}", f"{count / total:.1%}") for how, count in matches.items()]
    return grid("How factors matched", ("match", "activities", "share"), rows, left=1)


def _closing(summary: Summary) -> Text:
    text = Text()
    text.append(
        f"{summary.events:,} events in {summary.seconds:.1f} s ({summary.events_per_s:,.0f}/s): "
        f"{summary.activities:,} booked with {summary.transfers:,} transfers, "
        f"{summary.duplicates:,} duplicates, {sum(summary.refused.values()):,} refused.\n"
    )
    text.append(
        f"The ledger holds {summary.ledger['transfers']:,} transfers of "
        f"{summary.ledger['activities']:,} activities on {summary.ledger['accounts']:,} accounts.\n"
    )
    if summary.verdict.ok:
        text.append("verify: ok", style="bold green")
    else:
        text.append(f"verify: {len(summary.verdict.drift)} disagreements", style="bold red")
    return text


def _scaled(amount: int, units: Sequence[tuple[str, int]]) -> str:
    for unit, size in units:
        if abs(amount) >= size:
            scaled = amount / size
            places = max(0, 4 - len(str(abs(amount) // size)) + 1) if size > 1 else 0
            return f"{scaled:,.{places}f} {unit}"
    return f"0 {units[-1][0]}"


def _column(amounts: Sequence[int | None], units: Sequence[tuple[str, int]]) -> list[str]:
    sizes = sorted(abs(amount) for amount in amounts if amount)
    median = sizes[(len(sizes) - 1) // 2] if sizes else 0
    unit, size = next((each for each in units if median >= each[1]), units[-1])
    places = 3 if size > 1 else 0
    return ["" if each is None else f"{each / size:,.{places}f} {unit}" for each in amounts]
