"""What docs/gateway.md shows works as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from api.gateway.documents import FORMATS
from api.gateway.intake import Status
from api.gateway.senders import TABLES, TEXTS, TRUTHS, read_senders
from schemas.settings import BrokerSettings
from tests.api.gateway.served import served
from tests.pages import ROOT, first_words, rows, section, words

PAGE: Final = (ROOT / "docs/gateway.md").read_text("utf-8")
TOML: Final = re.findall(r"(?s)```toml\n(.*?)```", PAGE)
SENDER: Final = (
    '[[senders]]\nname = "acme"\nprogramme = "p"\naccount = "c"\n{}'  # What the parts belong to.
)


@pytest.mark.parametrize("text", TOML)
def test_what_it_shows_of_a_file_of_senders_can_be_read(tmp_path: Path, text: str) -> None:
    if not text.startswith("[[senders]]"):
        text = SENDER.format('ocpi = "cdrs"\n' if 'from = "ocpi"' in text else "") + text
    (tmp_path / "senders.toml").write_text(text)
    assert read_senders(tmp_path / "senders.toml", None).of("acme") is not None


def test_every_key_of_a_sender_is_described_and_no_other() -> None:
    described = [
        word.removeprefix("[senders.").removesuffix("]")
        for row in rows(section(PAGE, "Senders"))
        for word in words(row[0])
    ]
    assert sorted(described) == sorted(TEXTS | TRUTHS | TABLES)


def test_every_format_is_named_and_no_other() -> None:
    (line,) = re.findall(r"(?s)\nFormats: (.*?)\. Answers", PAGE)
    assert words(line) == list(FORMATS)


def test_every_status_of_a_record_is_described() -> None:
    described = first_words(section(PAGE, "Our own fields"))
    assert [word for word in described if "/" not in word] == [each.value for each in Status]


def test_the_first_record_is_accepted_and_answered_as_shown(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    (record,) = re.findall(r"(?s)-d '(\{.*?\})'", PAGE)
    (shown,) = re.findall(r"(?s)```json\n(.*?)```", PAGE)
    with served(topics, tmp_path, senders=TOML[0], with_tokens=False) as gateway:
        answer = gateway.ask(
            None,
            "POST",
            "/v1/charging-sessions",
            headers={"Content-Type": "application/json"},
            content=record,
        )
    assert answer.status_code == 202
    expected: dict[str, Any] = json.loads(shown)
    assert answer.json() == expected
