"""In: a URL, or a settings file. Out: which model is asked over HTTP, how, and what it may be sent."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from residency.contract.errors import SpecError
from residency.contract.specs import load, spec

Kind = Literal["score", "openai", "residency"]
NOT_NEEDED: Final = (
    "DEMOGRAPHIC/ZIP",
    "DEMOGRAPHIC/RACE",
    "DEMOGRAPHIC/ETHNICITY",
    "DEMOGRAPHIC/LANGUAGE",
    "COVERAGE/",
    "CONSENT/",
)


@spec
class EndpointSpec:
    """Which model is asked, and what it may be sent.

    Attributes:
        url: whole address: of a `/score` path, of a release's `/residency/v1/ask`, or of `/chat/completions`.
        kind: `score`, `openai` or `residency`; `auto` for what the address looks like.
        name: of the model, in the report; empty for the host's.
        model: what an OpenAI-compatible service calls it.
        key_variable: environment variable that holds the key; it is in no file and no log.
        timeout_seconds: for one whole answer.
        at_once: requests under way at the same time.
        most: index times of a task that are asked about; with more, they are drawn, those with the outcome up
            to half, and weights make up for it.
        window_days: records older than this are not sent.
        most_events: newest records that are sent.
        codes: beginnings of the codes that are sent; empty for all.
        leave_out: beginnings of codes that are not sent.
        give_up_after: failures in a row, after which the rest is not asked.
        plain_http: let records go unencrypted to another machine.
        extra: keys added to each request's body, as they stand.
    """

    url: str
    kind: Literal["score", "openai", "residency", "auto"] = "auto"
    name: str = ""
    model: str = ""
    key_variable: str = ""
    timeout_seconds: float = 30.0
    at_once: int = 4
    most: int = 1000
    window_days: float = 3652.5
    most_events: int = 200
    codes: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = NOT_NEEDED
    give_up_after: int = 20
    plain_http: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("url must begin with http:// or https://, name a host, and hold no key")
        if parts.scheme == "http" and not self.plain_http and not _is_here(parts.hostname):
            raise ValueError("url must be https, or records would go unencrypted to another machine")
        if min(self.timeout_seconds, self.at_once, self.most, self.most_events, self.give_up_after) <= 0:
            raise ValueError("limits must be above 0")

    @property
    def spoken(self) -> Kind:
        """Which of the three it is."""
        if self.kind != "auto":
            return self.kind
        path = urlsplit(self.url).path.rstrip("/")
        if path.endswith("/ask"):
            return "residency"
        return "openai" if path.endswith(("/chat/completions", "/v1")) else "score"

    @property
    def address(self) -> str:
        """Whole address, with the path that such a service has."""
        url = self.url.rstrip("/")
        return (
            f"{url}/chat/completions" if self.spoken == "openai" and not url.endswith("completions") else url
        )

    @property
    def called(self) -> str:
        """Name of the model."""
        return self.name or self.model or urlsplit(self.url).hostname or "endpoint"

    @property
    def key(self) -> str | None:
        """Give the key.

        Raises:
            SpecError: the environment has none of that name.
        """
        if not self.key_variable:
            return None
        if self.key_variable not in os.environ:
            raise SpecError(f"the environment has no {self.key_variable}", where="key_variable")
        return os.environ[self.key_variable]


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def endpoint_of(given: str) -> EndpointSpec:
    """Read a settings file, or take a URL as it stands.

    Raises:
        SpecError: it is neither.
    """
    if given.endswith(".toml"):
        return load(EndpointSpec, Path(given))
    try:
        return EndpointSpec(url=given)
    except ValueError as error:
        raise SpecError(str(error), where="--endpoint") from None
