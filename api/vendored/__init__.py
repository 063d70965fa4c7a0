"""Vendored: libraries of others that a browser loads, as npm has them, with their licences.

`tests/vendored/package.json` says which and which version, the lock beside it what npm must have
given for them. `make vendored` copies them here; a test compares every file with its package.
"""

from typing import Final

FILES: Final = {
    "swagger-ui-dist": (
        "swagger-ui-bundle.js",
        "swagger-ui-bundle.js.LICENSE.txt",
        "swagger-ui.css",
        "LICENSE",
        "NOTICE",
    ),
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"),
}
"""Which files of which package are here, in a folder of its name."""
