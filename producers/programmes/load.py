"""Reads programmes: the shipped ones by default, plus the files an operator names."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from carbon.programmes import Programme, ProgrammeError, parse_programme


def load_programmes(paths: Sequence[Path] = ()) -> Mapping[str, Programme]:
    """Return the shipped programmes and those of the given TOML files, by name; the latter win.

    Raises:
        ProgrammeError: A file is not a programme; the message names the file.
    """
    shipped = sorted(
        (entry for entry in files(__package__).iterdir() if entry.name.endswith(".toml")),
        key=lambda entry: entry.name,
    )
    programmes: dict[str, Programme] = {}
    for name, text in [
        *((entry.name, entry.read_text("utf-8")) for entry in shipped),
        *((str(path), path.read_text("utf-8")) for path in paths),
    ]:
        try:
            programme = parse_programme(text)
        except ProgrammeError as error:
            raise ProgrammeError(f"{name}: {error}") from error
        programmes[programme.name] = programme
    return programmes
