"""Access: what the holder of a token may see.

account     the balance, statement and transfers of one account
programme   those of every account of one programme, and its totals
operator    everything
send        nothing: it is for the gateway, which takes in what one sender sends

What a token may not see is answered as what does not exist. So a route asks for a balance or a
transfer first, and then whether it `sees` it: both answers come from the same lines.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, TypeAlias, get_args

from starlette.requests import Request

from api.problems import ProblemError

Kind: TypeAlias = Literal["account", "programme", "operator", "send"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
READING: Final[frozenset[Kind]] = frozenset({"account", "programme", "operator"})
SENDING: Final[frozenset[Kind]] = frozenset({"send"})

SCOPE_KEY: Final = "carbonflow.access"
"""Where the gate leaves it in the scope of a request."""
WHO_KEY: Final = "carbonflow.who"
"""Where it leaves the name of the token; "" where anybody is let in."""


@dataclass(frozen=True, slots=True)
class Access:
    """What may be seen, or whose records may be sent.

    Attributes:
        kind: How far it reaches.
        subject: The account, the programme or the sender; empty for an operator.
    """

    kind: Kind
    subject: str = ""

    def __post_init__(self) -> None:
        """Refuse a reach that is not said."""
        if (self.kind == "operator") != (not self.subject):
            raise ValueError(f"access of kind {self.kind} to {self.subject!r}")

    def asks_for(self, account_id: str) -> bool:
        """Return whether the account's name alone does not rule it out."""
        return self.kind != "account" or account_id == self.subject

    def sees(self, account_id: str, programme: str) -> bool:
        """Return whether it reaches what belongs to an account of a programme."""
        if self.kind == "account":
            return account_id == self.subject
        return self.sees_programme(programme)

    def sees_programme(self, programme: str) -> bool:
        """Return whether it reaches all of a programme."""
        return self.kind == "operator" or (self.kind == "programme" and programme == self.subject)


EVERYTHING: Final = Access("operator")


def access_of(request: Request) -> Access:
    """Return what a request may see; the gate has found out."""
    access: Access = request.scope[SCOPE_KEY]
    return access


def only_for(request: Request, *kinds: Kind) -> Access:
    """Return what a request may see.

    Raises:
        ProblemError: This route is not for tokens of its kind.
    """
    access = access_of(request)
    if access.kind not in kinds:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "out-of-scope",
            f"This is for tokens of {' or '.join(kinds)}; yours is of {access.kind}.",
        )
    return access
