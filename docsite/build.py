"""The site, built: pages staged, put into HTML with every warning an error, and checked.

Chinese needs two things that the builder has no setting for, as one site is of one language to it:
its pages say that they are Chinese, and the search takes Chinese apart into words, which browsers
can do (`Intl.Segmenter`) and the builder's script does when the index names the language.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from docsite.check import faults_of
from docsite.stage import ROOT, stage

CONFIG: Final = "zensical.toml"
BUILD_S_MAX: Final = 300
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class SiteError(RuntimeError):
    """The site cannot be built as it is."""


def build(folder: Path, root: Path = ROOT) -> Path:
    """Build the site anew in a folder, and return where it lies.

    Args:
        folder: Gets `pages`, `site` and the configuration; what else is in it stays.
        root: The root of the repository.

    Raises:
        SiteError: The builder warned, or the built site has a fault; the message has all of them.
        NowhereError: A page links to what is not there.
    """
    for made in ("pages", "site"):
        shutil.rmtree(folder / made, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    stage(folder / "pages", root)
    shutil.copyfile(root / CONFIG, folder / CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", CONFIG],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S_MAX,
    )
    if done.returncode != 0:
        raise SiteError(_COLOUR.sub("", done.stdout + done.stderr))
    site = folder / "site"
    _say_chinese(site)
    if faults := faults_of(site):
        raise SiteError("\n".join(map(str, faults)))
    return site


def _say_chinese(site: Path) -> None:
    for page in sorted(site.rglob("*.zh.html")):
        _replace(page, '<html lang="en"', '<html lang="zh-CN"')
    index = site / "search.json"
    content = json.loads(index.read_text("utf-8"))
    content["config"]["lang"] = ["en", "zh"]
    index.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), "utf-8")


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    if text.count(old) != 1:
        raise SiteError(f"{path.name} has not one {old}: the builder writes its pages otherwise")
    path.write_text(text.replace(old, new), "utf-8")
