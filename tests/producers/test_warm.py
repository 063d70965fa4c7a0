"""Warming up leaves nothing to be compiled for a load."""

from __future__ import annotations

from pathlib import Path

from numba.core.dispatcher import Dispatcher

from producers import parse, split
from producers.files import read_file
from producers.mapping import load_mapping
from producers.warm import warm_up
from schemas import avro_write, partition
from schemas.batches import partitioned_batches
from tests.producers.test_files import INDIA

MODULES = (parse, split, avro_write, partition)


def compiled() -> dict[str, int]:
    return {
        f"{module.__name__}.{name}": len(found.signatures)
        for module in MODULES
        for name, found in vars(module).items()
        if isinstance(found, Dispatcher)
    }


def test_a_row_goes_the_whole_way() -> None:
    assert warm_up() == 1


def test_nothing_is_left_to_compile_for_another_load(tmp_path: Path) -> None:
    warm_up()
    before = compiled()
    assert {"producers.parse._numbers", "producers.split._split"} <= before.keys()
    odd = tmp_path / "odd.csv"
    odd.write_bytes(INDIA.read_bytes().replace(b"\n", b"\r\n"))
    for path in (INDIA, odd):
        for block in read_file(path, load_mapping("india-hcv"), coded=True):
            made = partitioned_batches(
                "freight_trip", block.batch, key="account_id", partitions=4, timestamp_ms=1
            )
            assert sum(each.record_count() for _, each in made) == block.batch.num_rows
    assert compiled() == before
