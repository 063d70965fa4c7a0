"""A folder that holds more than a sample is never emptied unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.folder import RealBooksError, clear, is_sample, mark_real, mark_sample


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """A folder over which a stack has run, with a file of somebody else in it."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "chdb").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_real_books_are_spared(books: Path) -> None:
    with pytest.raises(RealBooksError, match="holds books that no demo made"):
        clear(books, only_sample=True)
    assert (books / "store" / "chdb").exists()


def test_real_books_are_forgotten_when_told(books: Path) -> None:
    clear(books, only_sample=False)
    assert [path.name for path in books.iterdir()] == ["notes.txt"]


def test_a_sample_is_forgotten(tmp_path: Path) -> None:
    mark_sample(tmp_path)
    (tmp_path / "store").mkdir()
    clear(tmp_path, only_sample=True)
    assert not (tmp_path / "store").exists()


def test_real_books_do_not_become_a_sample(books: Path) -> None:
    mark_sample(books)
    assert not is_sample(books)


def test_a_sample_to_which_real_events_are_added_is_spared(tmp_path: Path) -> None:
    mark_sample(tmp_path)
    (tmp_path / "store").mkdir()
    mark_real(tmp_path)
    with pytest.raises(RealBooksError):
        clear(tmp_path, only_sample=True)
