"""Settings: one frozen value per process, read once from the environment and passed in.

A settings class is a frozen dataclass; its field `max_rows` is the variable CARBONFLOW_MAX_ROWS.
Fields are str, int, float, bool, Path, a Literal, tuple[str, ...] (separated by commas), any of
them `| None`, or another such class, whose fields are read under their own names. What is not set
takes the field's default. Variables nobody asks for are left alone: several processes with
different settings share one environment.

A field made by `secret` never shows in a `repr`. Its text comes from its variable, or from the file
that the variable with `_FILE` at its end names, as Docker and Kubernetes hand over secrets.
"""

import math
import ssl
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

PREFIX: Final = "CARBONFLOW_"
FILE: Final = "_FILE"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class SettingsError(ValueError):
    """A variable is missing or holds what its setting cannot take; the message names it."""


def read_settings(cls: type[T], environ: Mapping[str, str]) -> T:
    """Return the settings of a class from CARBONFLOW_* variables.

    Args:
        cls: A frozen dataclass.
        environ: os.environ, or what a test passes.

    Raises:
        SettingsError: A variable is missing or wrong.

    >>> read_settings(BrokerSettings, {"CARBONFLOW_PREFIX": "pilot."}).prefix
    'pilot.'
    """
    assert is_dataclass(cls), f"{cls.__name__} is no dataclass"
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for each in fields(cls):
        wanted, name = hints[each.name], variable(each.name)
        if is_dataclass(wanted) and isinstance(wanted, type):
            values[each.name] = read_settings(wanted, environ)
        elif is_secret(each):
            values[each.name] = _secret(name, environ)
        elif name in environ:
            values[each.name] = _value(name, environ[name], wanted)
        elif each.default is MISSING and each.default_factory is MISSING:
            raise SettingsError(f"{name} is not set")
    try:
        settings: T = cls(**values)
    except ValueError as error:
        # A class may check in __post_init__ what no single field can know.
        raise SettingsError(str(error)) from error
    return settings


def variable(field_name: str) -> str:
    """Return the variable a field is read from.

    >>> variable("bootstrap")
    'CARBONFLOW_BOOTSTRAP'
    """
    return PREFIX + field_name.upper()


def secret() -> Any:
    """Return a field for a secret, None where it is not given."""
    return field(default=None, repr=False, metadata={"secret": True})


def is_secret(each: Field[Any]) -> bool:
    """Return whether a field holds a secret."""
    return bool(each.metadata.get("secret"))


def variables(each: Field[Any]) -> tuple[str, ...]:
    """Return the variables a field can be read from, one of which may be set."""
    name = variable(each.name)
    return (name, name + FILE) if is_secret(each) else (name,)


def trusted(cafile: Path | None, name: str) -> ssl.SSLContext:
    """Return what checks certificates: against those of a file, or the system's.

    Args:
        cafile: Certificates in PEM.
        name: The variable that names the file.

    Raises:
        ValueError: It cannot be read, or holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except ssl.SSLError:
        raise ValueError(f"{name} is {str(cafile)!r}, which holds no certificates in PEM") from None
    except OSError as error:
        raise ValueError(f"{name} is {str(cafile)!r}, which {_unread(error)}") from error


def _secret(name: str, environ: Mapping[str, str]) -> str | None:
    given, path = environ.get(name) or None, environ.get(name + FILE, "").strip()
    if not path:
        return given
    if given is not None:
        raise SettingsError(f"{name} and {name}{FILE} are both set; set one of them")
    where = f"{name}{FILE} is {path!r}, which"
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"{where} {_unread(error)}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{where} is no text in UTF-8") from None  # It would show the bytes.
    if len(lines) != 1 or not lines[0]:
        raise SettingsError(f"{where} holds {len(lines)} lines, not one with the secret")
    return lines[0]


def _unread(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _value(name: str, text: str, wanted: Any) -> Any:
    if get_origin(wanted) in {Union, types.UnionType}:
        if not text.strip():
            return None
        (wanted,) = set(get_args(wanted)) - {type(None)}
    if wanted is str:
        return text
    text = text.strip()
    if wanted in {int, float}:
        return _number(name, text, wanted)
    if wanted == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return _choice(name, text, wanted)


def _choice(name: str, text: str, wanted: Any) -> Any:
    if wanted is Path and text:
        return Path(text)
    if wanted is bool and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if get_origin(wanted) is Literal and text in get_args(wanted):
        return text
    assert wanted in {Path, bool} or get_origin(wanted) is Literal, f"{name}: {wanted} is no type"
    choices = {Path: "a path", bool: "true or false"}.get(wanted) or ", ".join(get_args(wanted))
    raise SettingsError(f"{name} is {text!r}, not {choices}")


def _number(name: str, text: str, wanted: type[int] | type[float]) -> int | float:
    try:
        number = wanted(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        kind = "a whole number" if wanted is int else "a number"
        raise SettingsError(f"{name} is {text!r}, not {kind}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the Kafka cluster is and how to speak to it."""

    bootstrap: str = "127.0.0.1:9092"
    """Brokers to ask first, host:port, separated by commas."""
    prefix: str = ""
    """Goes before every topic and group, so that deployments can share a cluster."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: str | None = secret()
    ssl_cafile: Path | None = None
    """Certificates to trust; the system's where not given."""

    def __post_init__(self) -> None:
        """Refuse SASL without its three settings, and what would go unused."""
        given = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if self.security_protocol.startswith("SASL_") != all(given) or any(given) != all(given):
            raise ValueError(
                f"{variable('security_protocol')} {self.security_protocol} and CARBONFLOW_SASL_*"
                " must be set together: mechanism, username and password, or none of them"
            )
        if self.ssl_cafile is not None:
            if not self.is_encrypted:
                raise ValueError(
                    f"{variable('ssl_cafile')} is set, but with {variable('security_protocol')} "
                    f"{self.security_protocol} there is no TLS"
                )
            self._trusted()

    @property
    def is_encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.security_protocol.endswith("SSL")

    def topic(self, name: str) -> str:
        """Return the name on the cluster of a topic of the catalogue."""
        return self.prefix + name

    def client_options(self) -> dict[str, Any]:
        """Return keyword arguments for aiokafka's clients; reads `ssl_cafile` if TLS is on.

        Raises:
            ValueError: `ssl_cafile` cannot be read any more.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if self.is_encrypted:
            options["ssl_context"] = self._trusted()
        if self.sasl_mechanism is not None:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options

    def _trusted(self) -> ssl.SSLContext:
        return trusted(self.ssl_cafile, variable("ssl_cafile"))


UNSECURED: Final[Mapping[str, str]] = {
    name: ""
    for each in fields(BrokerSettings)
    if each.name.startswith(("sasl_", "ssl_"))
    for name in variables(each)
} | {variable("security_protocol"): "PLAINTEXT"}
"""Variables that make a broker's connections plain, whatever else an environment says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Where the registry is; without an address none is used."""

    schema_registry_url: str | None = None
    """Where its API begins, such as http://registry:8080/apis/ccompat/v7."""
    schema_registry_username: str | None = None
    schema_registry_password: str | None = secret()
    schema_registry_cafile: Path | None = None
    """Certificates to trust; the system's where not given."""

    def __post_init__(self) -> None:
        """Refuse half a login, what is no address, and certificates that cannot be read."""
        url = self.schema_registry_url
        if (self.schema_registry_username is None) != (self.schema_registry_password is None):
            raise ValueError(
                f"{variable('schema_registry_username')} and "
                f"{variable('schema_registry_password')} must be set together"
            )
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"{variable('schema_registry_url')} is no address of http or https")
        if url is not None and "@" in url:
            raise ValueError(
                f"{variable('schema_registry_url')} holds a login; set "
                f"{variable('schema_registry_username')} and its password instead"
            )
        if self.schema_registry_cafile is not None:
            trusted(self.schema_registry_cafile, variable("schema_registry_cafile"))
