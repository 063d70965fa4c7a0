"""What a word on the command line means: a file, a folder, a pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.locations import LocationError, found, is_url, local


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """A folder as tools leave it."""
    for name in (
        *("2026-01/b.csv", "2026-01/a.parquet", "2026-02/deep/c.jsonl.zst", "2026-02/d.CSV.GZ"),
        *("notes.txt", "_SUCCESS", "_temporary/e.csv", ".hidden/f.csv", "2026-01/.g.csv"),
    ):
        path = tmp_path / "exports" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "exports"


def names(word: Path | str, below: Path) -> list[str]:
    return [Path(source.name).relative_to(below).as_posix() for source in found(str(word))]


def test_a_folder_is_every_file_below_it_that_can_be_read(exports: Path) -> None:
    assert names(exports, exports) == [
        "2026-01/a.parquet",
        "2026-01/b.csv",
        "2026-02/d.CSV.GZ",
        "2026-02/deep/c.jsonl.zst",
    ]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("2026-*/*.csv", ["2026-01/b.csv"]),
        ("**/c.*", ["2026-02/deep/c.jsonl.zst"]),
        ("2026-0[12]/[ab].*", ["2026-01/a.parquet", "2026-01/b.csv"]),
    ],
)
def test_a_pattern_is_what_fits_it(exports: Path, pattern: str, wanted: list[str]) -> None:
    assert names(f"{exports}/{pattern}", exports) == wanted


def test_a_pattern_from_here_is_looked_for_from_here(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exports)
    assert [source.name for source in found("2026-*/b.csv")] == ["2026-01/b.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a[1].csv"
    path.write_bytes(b"x")
    assert [source.name for source in found(str(path))] == [str(path)]


@pytest.mark.parametrize("word", ["nothing.csv", "nothing-*.csv"])
def test_where_nothing_is_it_says_so(tmp_path: Path, word: str) -> None:
    with pytest.raises(LocationError, match="nothing"):
        found(f"{tmp_path}/{word}")


def test_a_folder_without_files_to_load_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match=r"\.csv, \.csv\.gz, \.csv\.zst"):
        found(str(tmp_path))


def test_another_version_of_a_file_is_told_from_this(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"1")
    first = local(path)
    path.write_bytes(b"12")
    assert local(path).version != first.version
    assert local(path).size_bytes == 2


def test_addresses_of_other_kinds_are_not_guessed_at() -> None:
    with pytest.raises(LocationError, match="only s3://"):
        found("ftp://host/a.csv")
    assert is_url("s3://b/a.csv")
    assert not is_url("C:/a.csv")
