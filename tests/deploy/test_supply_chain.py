"""What is installed is what was locked, everywhere; the bill of materials says what that is; and an
audit that could not be made does not pass.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT: Final = Path(__file__).resolve().parents[2]
LOCKS: Final = sorted(ROOT.glob("requirements*.lock"))
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
HASHES: Final = "--require-hashes"
OURSELVES: Final = "--no-deps"


def locked(path: Path) -> dict[str, tuple[str, set[str]]]:
    """Return version and SHA-256 of every file, by package, of a lock."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text()).replace("\\\n", " ")
    found: dict[str, tuple[str, set[str]]] = {}
    for line in filter(str.strip, text.splitlines()):
        pinned = re.match(r"([A-Za-z0-9._-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*$", line)
        assert pinned, f"{path.name}: {line[:80]!r} is not pinned with hashes"
        found[pinned[1]] = (pinned[2], set(re.findall(r"[0-9a-f]{64}", pinned[3])))
    return found


def files_with_commands() -> list[Path]:
    """Return the files under version control that could install something."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [
        ROOT / name
        for name in listed
        if not name.endswith((".md", ".lock", ".js", ".css", ".png"))
        and (ROOT / name) != Path(__file__)
    ]


INSTALLS: Final = re.compile(r"[^\n&;|]*\bpip\S*\s+(?:install|wheel|download)\b[^\n&;|]*")


def installs() -> list[tuple[str, str]]:
    """Return every command that installs or builds, with its file."""
    return [
        (path.name, " ".join(command.split()))
        for path in files_with_commands()
        for command in INSTALLS.findall(
            path.read_bytes().decode("utf-8", "replace").replace("\\\n", " ")
        )
        if not command.lstrip().startswith("#")
    ]


def test_the_ways_to_install_are_found() -> None:
    assert {name for name, _ in installs()} == {"Makefile", "Dockerfile"}
    assert len(installs()) == 8


@pytest.mark.parametrize("command", [command for _, command in installs()])
def test_what_is_installed_is_locked_by_hash_or_our_own(command: str) -> None:
    if HASHES in command:
        (lock,) = re.findall(r"\S+\.lock\b", command)
        assert ROOT / lock in LOCKS
        # A source distribution runs its own code, with what it asks for, which no hash covers.
        assert "--only-binary :all:" in command
    else:
        # Nothing may be fetched for it: neither a dependency nor what builds it.
        assert OURSELVES in command
        assert "--no-build-isolation" in command or "--no-index" in command


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_line_of_a_lock_is_a_version_with_its_hashes(path: Path) -> None:
    packages = locked(path)
    assert packages
    assert all(hashes for _, hashes in packages.values())


def test_the_locks_have_the_versions_of_the_project() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    image = ("pipeline", "gateway", "registry", "tracing")
    ours = [*PROJECT["project"]["dependencies"], *(pin for name in image for pin in extras[name])]
    wanted = {
        "requirements.lock": ours,
        "requirements-dev.lock": [*ours, *extras["client"], *extras["embedded"], *extras["dev"]],
        "requirements-build.lock": PROJECT["build-system"]["requires"],
    }
    for name, pins in wanted.items():
        packages = locked(ROOT / name)
        for pin in pins:
            package, version = pin.split("==")
            assert packages[package.split("[")[0]][0] == version, f"{name}: {pin}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_what_is_tested_is_what_is_shipped(name: str) -> None:
    tested = locked(ROOT / "requirements-dev.lock")
    assert {package: tested.get(package) for package in locked(ROOT / name)} == locked(ROOT / name)


# The bill of materials


def recipe(target: str) -> str:
    """Return the commands of a target of the Makefile, as make would run them."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--assume-old", ".venv/.installed", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def bill() -> str:
    """What `make sbom` writes, without a word beside it."""
    command = re.sub(r"\.venv/bin/python", sys.executable, recipe("sbom").replace("\\\n", " "))
    command = command.replace("--output-file build/sbom.cdx.json", "--output-file -")
    command = command.split("mkdir -p build\n")[1]
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_bill_is_cyclonedx_by_its_schema(bill: str) -> None:
    assert json.loads(bill)["specVersion"] == "1.6"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None


def test_a_bill_that_is_none_would_be_found(bill: str) -> None:
    broken = json.loads(bill)
    broken["components"][0]["type"] = "something"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_the_bill_lists_what_is_locked_with_its_hashes_and_nothing_else(bill: str) -> None:
    listed = {}
    for component in json.loads(bill)["components"]:
        hashes = {
            each["content"]
            for reference in component["externalReferences"]
            for each in reference.get("hashes", [])
            if each["alg"] == "SHA-256"
        }
        listed[component["name"]] = (component["version"], hashes)
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
    assert listed == locked(ROOT / "requirements.lock")


def test_the_bill_is_of_this_release(bill: str) -> None:
    about = json.loads(bill)["metadata"]["component"]
    assert (about["name"], about["version"]) == ("carbonflow", PROJECT["project"]["version"])


# The audit


def audit(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", recipe("audit").replace(".venv/bin/", f"{Path(sys.executable).parent}/")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
        timeout=240,
    )


def test_an_audit_without_advisories_fails_and_says_so() -> None:
    nowhere = "http://127.0.0.1:9"  # Discards; nothing listens there.
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    done = audit({**dict.fromkeys(names, nowhere), "NO_PROXY": "", "no_proxy": ""})
    assert done.returncode != 0
    assert "requirements.lock: NOT audited, or vulnerable" in done.stderr
    assert "No known vulnerabilities found" not in done.stdout + done.stderr
