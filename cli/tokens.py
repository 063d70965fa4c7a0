"""The command `api-token`: a new token, and the lines that let it in."""

from __future__ import annotations

import sys

import click

from cli.parsing import json_option
from cli.printing import print_json


@click.command(
    "api-token",
    epilog="\b\nExamples:\n"
    '  carbonflow api-token "app of driver 7" --account driver-7\n'
    "  carbonflow api-token auditor --programme cn-charging\n"
    "  carbonflow api-token on-call --operator\n"
    "  carbonflow api-token acme --sender acme",
)
@click.argument("name")
@click.option("--account", metavar="ID", help="It sees this account.")
@click.option("--programme", metavar="NAME", help="It sees every account of this programme.")
@click.option("--operator", is_flag=True, help="It sees everything.")
@click.option("--sender", metavar="NAME", help="It sends as this sender, through the gateway.")
@json_option
def api_token(
    name: str,
    account: str | None,
    programme: str | None,
    operator: bool,
    sender: str | None,
    as_json: bool,
) -> None:
    """Make a token for the API, or for the gateway; NAME says whose it is.

    The token goes to standard error, once: hand it over and forget it. What lets it in goes to
    standard output: lines to append to CARBONFLOW_API_TOKENS_FILE, or to the gateway's
    CARBONFLOW_GATEWAY_TOKENS_FILE, with its SHA-256. Both read their file when they start.
    """
    from api.tokens import TokensError, entry_of, new_token

    scopes = [
        *([] if account is None else [f"account:{account}"]),
        *([] if programme is None else [f"programme:{programme}"]),
        *(["operator"] if operator else []),
        *([] if sender is None else [f"send:{sender}"]),
    ]
    if len(scopes) != 1:
        raise click.UsageError("say one of --account, --programme, --operator and --sender")
    token = new_token()
    try:
        entry = entry_of(token, name=name, scope=scopes[0])
    except TokensError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json({"name": name, "scope": scopes[0], "token": token, "entry": entry})
        return
    print(entry)
    print(token, file=sys.stderr)
