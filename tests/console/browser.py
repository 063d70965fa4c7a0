"""A browser: Debian's Chromium without a window, installed where it is missing.

Under CI=true, as root on a clean machine, apt-get installs it with a font for Chinese; elsewhere a
test that needs it skips.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from tests.toolchains import need

INSTALL_S_MAX: Final = 240
WAIT_MS: Final = 30_000
CJK: Final = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def chromium() -> str:
    """Return where Chromium is; where there is none, get it or skip."""
    can_install = os.geteuid() == 0 and os.environ.get("CI") == "true" and shutil.which("apt-get")
    if can_install and not (shutil.which("chromium") and CJK.exists()):
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        packages = ("chromium", "fonts-dejavu-core", "fonts-noto-cjk")
        for command in (
            ("apt-get", "update", "-qq"),
            ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages),
        ):
            subprocess.run(
                command, env=environ, check=True, capture_output=True, timeout=INSTALL_S_MAX
            )
    need("chromium", "the console")
    return str(shutil.which("chromium"))


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser while the context is entered."""
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()
