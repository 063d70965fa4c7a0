"""A register of vehicles gives the class that documents don't name, and says whose line it was."""

from pathlib import Path

import pytest

from producers.registers import RegisterError
from producers.vehicles import Vehicles, load_vehicles


def read(tmp_path: Path, text: str) -> Vehicles:
    """Return the register with that text."""
    file = tmp_path / "vehicles.csv"
    file.write_text(text, "utf-8")
    return load_vehicles(file)


def test_the_first_known_id_decides(tmp_path: Path) -> None:
    register = read(tmp_path, "id,vehicle_class,energy_carrier\n粤B1/2,truck_18t,diesel\nc1,car,\n")
    found = register.of("unknown", "粤b1/2", "c1")
    assert found is not None
    assert (found.vehicle_class, found.energy_carrier) == ("truck_18t", "diesel")
    assert found.notes == ("vehicle class truck_18t by its line of the register",)
    assert register.of("unknown") is None


def test_the_line_for_all_others_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "id,vehicle_class\n*,car\nC1,bus\n").of("unknown")
    assert found is not None
    assert found.notes == ("vehicle class car by the register's line for all others",)


def test_two_lines_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegisterError, match=":3: an earlier line says something else"):
        read(tmp_path, "id,vehicle_class\nC1,bus\nc1,car\n")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RegisterError, match="can't be read"):
        load_vehicles(tmp_path / "none.csv")
