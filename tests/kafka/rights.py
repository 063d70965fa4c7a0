"""What each user may do on Kafka: the table of docs/security.md, applied as it stands there.

A right is one operation on one thing. Names of topics, groups and transactional ids get the
deployment's prefix. Kafka's operations `Read` and `Write` contain `Describe`.
"""

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from schemas.settings import BrokerSettings

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/security.md"
VISIBLE_S_MAX: Final = 30

# Kafka's numbers.
THINGS: Final = {"topic": 2, "group": 3, "transactional id": 5}
OPERATIONS: Final = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
ANY, LITERAL, PREFIXED, ALLOW = 1, 3, 4, 3


@dataclass(frozen=True, slots=True)
class Right:
    """One operation of one user on one thing; a `*` ends what only begins its name."""

    user: str
    thing: str
    name: str
    operation: str

    def __str__(self) -> str:
        return f"{self.user}: {self.operation} {self.thing} {self.name}"


def documented() -> tuple[Right, ...]:
    """Return the rights of the page, in its order."""
    section = re.search(r"(?ms)^### Rights\n(.*?)(?=^#|\Z)", PAGE.read_text("utf-8"))
    assert section is not None, "docs/security.md has no section Rights"
    rights = []
    for line in re.findall(r"(?m)^\| `.*\|$", section[1]):
        users, thing, names, operations = (cell.strip() for cell in line.strip("|").split("|"))
        # What a user does stands behind a comma, and may name more.
        rights += [
            Right(user, thing, name, operation)
            for user in re.findall(r"`([^`]+)`", users.partition(",")[0])
            for name in re.findall(r"`([^`]+)`", names)
            for operation in operations.split(", ")
        ]
    return tuple(rights)


async def allow(settings: BrokerSettings, rights: Collection[Right]) -> None:
    """Give rights on what has the prefix of the settings, and return once they hold.

    Args:
        settings: The admin's.
        rights: What to allow.
    """
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        for right in rights:
            request = CreateAclsRequest(
                THINGS[right.thing],
                settings.prefix + right.name.removesuffix("*"),
                PREFIXED if right.name.endswith("*") else LITERAL,
                f"User:{right.user}",
                "*",
                OPERATIONS[right.operation],
                ALLOW,
            )
            response = await admin._send_request(request)
            for code, message in response.creation_responses:
                assert code == 0, f"{right}: {message}"
        # The controller answers before the broker has taken them up.
        async with asyncio.timeout(VISIBLE_S_MAX):
            while await _held(admin, settings.prefix) < len(rights):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def _held(admin: AIOKafkaAdminClient, prefix: str) -> int:
    response = await admin._send_request(DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY))
    assert response.error_code == 0, response.error_message
    return sum(len(acls) for _, name, _, acls in response.resources if name.startswith(prefix))
