"""Put what the pages of the API load into api/vendored: `make vendored`."""

import shutil
from pathlib import Path
from typing import Final

from api.vendored import FILES
from tests.toolchains import npm_ci

HERE: Final = Path(__file__).resolve().parent
VENDORED: Final = HERE.parents[1] / "api/vendored"


def main() -> None:
    """Copy the files that `FILES` names."""
    packages = npm_ci(HERE)
    for package, names in FILES.items():
        shutil.rmtree(VENDORED / package, ignore_errors=True)
        (VENDORED / package).mkdir()
        for name in names:
            shutil.copyfile(packages / package / name, VENDORED / package / Path(name).name)


if __name__ == "__main__":
    main()
