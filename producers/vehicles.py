"""Vehicles: a CSV of the operator's with the class of a vehicle that documents don't name.

    id,vehicle_class,energy_carrier
    NL-TST-C12345678-S,car,
    粤B12345/2,truck_18t,diesel
    *,car,

`id` is an account as documents name it, its pseudonym, or a number plate and its colour. A line for
`*` stands for every id that has none of its own; without it such a document is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from producers.registers import RegisterError, read_register

ALL_OTHERS: Final = "*"


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Class and energy carrier, and whether a line of its own says so or the one for all others."""

    vehicle_class: str
    energy_carrier: str = ""
    is_own: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """The answer as sentences."""
        how = "its line of the register" if self.is_own else "the register's line for all others"
        return (f"vehicle class {self.vehicle_class} by {how}",)


@dataclass(frozen=True, slots=True)
class Vehicles:
    """Vehicles by the upper case of their id."""

    by_id: Mapping[str, Vehicle] = field(default_factory=dict)

    def of(self, *ids: str) -> Vehicle | None:
        """Return the vehicle of the first id that has a line, or of the line for all others."""
        for vehicle_id in (*ids, ALL_OTHERS):
            found = self.by_id.get(vehicle_id.strip().upper())
            if found is not None:
                return found
        return None


def load_vehicles(path: Path) -> Vehicles:
    """Read a register of vehicles.

    Raises:
        RegisterError: It can't be used; the message names the line.
    """
    by_id: dict[str, Vehicle] = {}
    needs, may_have = ["id", "vehicle_class"], ["energy_carrier"]
    for where, row in read_register(path, needs=needs, may_have=may_have):
        known = row["id"].upper()
        vehicle = Vehicle(row["vehicle_class"], row["energy_carrier"], known != ALL_OTHERS)
        if by_id.setdefault(known, vehicle) != vehicle:
            raise RegisterError(f"{where}: an earlier line says something else about the vehicle")
    return Vehicles(by_id)
