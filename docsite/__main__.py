"""Build the site.

    python -m docsite build

writes it into build/site.
"""

import sys
from pathlib import Path

from docsite.build import SiteError, build
from docsite.stage import NowhereError


def main(folder: Path) -> int:
    """Build the site in a folder, say where it lies, and return the exit status."""
    try:
        site = build(folder)
    except (SiteError, NowhereError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The site is in {site}. To look at it: python -m http.server -d {site}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
