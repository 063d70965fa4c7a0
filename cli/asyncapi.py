"""The command `asyncapi`: what goes over the topics, as a document for tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from cli.parsing import json_option
from cli.printing import print_json

_TEXT = "tag:yaml.org,2002:str"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")


class AddressType(click.ParamType):
    """Where a broker listens, as host:port."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address, or say what is wrong with it."""
        if not _ADDRESS.fullmatch(value):
            self.fail(f"{value!r} is no HOST:PORT such as kafka:9092", param, ctx)
        return value


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return a document as YAML: text of several lines as it stands, nothing by an anchor."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    def text(dumper: Dumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar(_TEXT, value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(document, None, Dumper, sort_keys=False, allow_unicode=True, width=100)
    return dumped


@click.command(
    epilog="\b\nExamples:\n  carbonflow asyncapi --server kafka:9092\n  carbonflow asyncapi --json"
)
@click.option(
    "--server",
    type=AddressType(),
    metavar="HOST:PORT",
    default="127.0.0.1:9092",
    show_default=True,
    help="Broker that the document names.",
)
@json_option
def asyncapi(server: str, as_json: bool) -> None:
    """Print the AsyncAPI 3.0 document of all topics: records, keys, headers, frame.

    It is YAML unless JSON is asked for. Nothing is connected to.
    """
    from importlib.metadata import version

    from schemas.asyncapi import document
    from schemas.catalogue import shipped
    from schemas.plain import plain_examples

    made = document(shipped(), plain_examples(), server=server, version=version("carbonflow"))
    if as_json:
        print_json(made)
        return
    print(as_yaml(made), end="")
