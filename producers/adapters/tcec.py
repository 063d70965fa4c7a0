"""T/CEC 102: a charge order (notification_charge_order_info) becomes a charging session.

Times are Shanghai's and say so nowhere. `TotalPower` is energy in kWh, whatever its name. Money is
not booked, yet it tells a garbled order: `TotalMoney` is the sum of `TotalElecMoney` and
`TotalSeviceMoney`, which the standard spells so and some platforms correct.

An order has no place, no vehicle and no customer. Place and kind of current come from the table of
stations by ConnectorID; the customer from the platform's own orders, by StartChargeSeq. That
number begins with the id of the platform that started the order, which need not be the operator of
the charger; the operator is OperatorID of the envelope.

Source: T/CEC 102.4-2016, as several open implementations have it (DOMAIN, section 4.4).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from producers.adapters.document import Node
from producers.adapters.outcome import Adapted, Sender, adapted, refusing
from producers.regions import Place

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
CENT: Final = Fraction(1, 100)
"""Amounts and energies have two to four decimals, each part rounded for itself."""


def _order(document: Node) -> Node:
    """Return the order out of its envelope, where it is in one and was decrypted."""
    data = document.get("Data")
    if data is None or document.get("StartChargeSeq") is not None:
        return document
    if not isinstance(data.value, str):
        return data
    try:
        opened = json.loads(data.value)
    except (ValueError, RecursionError):
        opened = None
    if not isinstance(opened, dict):
        data.hidden().wrong("is still encrypted, or is no JSON object", "row_unmapped")
    return replace(data, value=opened)


def _differences(order: Node) -> list[str]:
    """Return what does not add up in an order, as sentences."""
    found: list[str] = []
    electricity, service, total = (
        order.get("TotalElecMoney"),
        order.get("TotalSeviceMoney", "TotalServiceMoney"),
        order.get("TotalMoney"),
    )
    if electricity and service and total:
        parts = electricity.number() + service.number()
        if abs(parts - total.number()) > 2 * CENT:
            found.append("TotalElecMoney and TotalSeviceMoney don't add up to TotalMoney")
    details = order.get("ChargeDetails")
    powers = [detail.get("DetailPower") for detail in details.items()] if details else []
    energies = [power.number() for power in powers if power is not None]
    whole = order.need("TotalPower").number()
    if energies and abs(sum(energies) - whole) > max(CENT * len(energies), whole * CENT):
        found.append("the energies of ChargeDetails don't add up to TotalPower")
    return found


@refusing
def charge_order(document: Node, sender: Sender, orders: Mapping[str, str]) -> Adapted:
    """Return the charging session of a charge order.

    Args:
        document: The order, or its envelope with `Data` decrypted.
        sender: The operator's platform; its operator stands in for an OperatorID that is missing.
        orders: The natural id of the account that each order, by StartChargeSeq, was started for.
    """
    order = _order(document)
    envelope = document.get("OperatorID") or order.get("OperatorID")
    operator = envelope.text() if envelope is not None else sender.operator(document)
    number, connector = order.need("StartChargeSeq"), order.need("ConnectorID")
    account = orders.get(number.text())
    if account is None:
        number.refuse("row_missing_value", "no account is known that the order was started for")
    account_id = sender.pseudonym(account)
    vehicle = sender.vehicle(number, account, account_id)
    ids = (f"{operator}*{connector.text()}", connector.text())
    station = sender.regions.station(*ids)
    if station is None or not station.current:
        connector.refuse(
            "row_missing_value", f"the table of stations needs {ids[0]!r} with its current"
        )
    region = sender.region(connector, Place(stations=ids))
    return adapted(
        "charging_session",
        [*region.notes, *vehicle.notes, *_differences(order)],
        session_id=f"{operator}*{number.text()}",
        source=sender.source,
        account_id=account_id,
        programme=sender.programme,
        vehicle_class=vehicle.vehicle_class,
        grid_region=region.code,
        started_at=order.need("StartTime").instant(SHANGHAI),
        ended_at=order.need("EndTime").instant(SHANGHAI),
        energy_wh=order.need("TotalPower").quantity("energy_wh", "kWh"),
        meter_side="dispenser",
        current=station.current,
        operator_id=station.operator_id or operator,
        evse_id=station.evse_id or connector.text(),
    )
