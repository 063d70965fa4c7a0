"""The summary of a run as tables, and how amounts are written for people.

Masses become g, kg, t or kt, energies Wh to GWh, with five significant digits and thousands
separated. Rounding here is for the eye only; the JSON form has the integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    rows: list[tuple[str, ...]] = []
    for programme, regions in programmes.items():
        every = [total for found in regions.values() for total in found]
        rows.append((programme, "all" if len(regions) > 1 else next(iter(regions)), *_sums(every)))
        if len(regions) == 1:
            continue
        busiest = sorted(regions.items(), key=lambda entry: -entry[1][0].activities)
        rows += [("", region, *_sums(found)) for region, found in busiest[:REGIONS_SHOWN]]
        if rest := busiest[REGIONS_SHOWN:]:
            others = [total for _, found in rest for total in found]
            rows.append(("", f"{len(rest)} more", *_sums(others)))
    heads = ("programme", "region", "activities", "energy or transport", "emitted", "saved")
    return grid("Totals by programme and region", heads, rows, left=2)


def _sums(totals: Sequence[Total]) -> tuple[str, str, str, str]:
    emissions = [total for total in totals if total.quantity == "emission"]
    reductions = [total for total in totals if total.quantity == "reduction"]
    energy_wh = sum(total.energy_wh for total in emissions)
    transport_kg_km = sum(total.transport_kg_km for total in emissions)
    return (
        f"{sum(total.activities for total in emissions):,}",
        energy(energy_wh) if energy_wh else transport(transport_kg_km),
        mass(sum(total.amount_mg for total in emissions)),
        mass(sum(total.amount_mg for total in reductions)) if reductions else "",
    )


def _accounts(accounts: Sequence[Balance]) -> Table:
    rows = [
        (
            account.account_id,
            account.programme,
            f"{account.session_count + account.trip_count:,}",
            mass(account.emissions_mg),
            mass(account.reduction_mg),
        )
        for account in accounts
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
