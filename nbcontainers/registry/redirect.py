"""Redirects: followed a few times, without our credentials on another host, never from https to http."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from nbcontainers.errors import RegistryError
from nbcontainers.registry.failure import clean
from nbcontainers.registry.transport import Answer, Transport

MOST = 10
_KINDS = (301, 302, 303, 307, 308)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_PRIVATE = ("authorization", "cookie")


def follow(
    transport: Transport,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    insecure: bool,
    secret: bool = False,
) -> Answer:
    """The answer at the end of the redirects. Raises RegistryError. A body that is `secret` goes to no other host."""
    headers = dict(headers)
    for _ in range(MOST + 1):
        answer = transport.ask(method, url, headers, body)
        location = answer.headers.get("Location")
        if answer.status not in _KINDS or not location:
            return answer
        status = answer.status
        answer.close()
        if method not in ("GET", "HEAD") and status not in (307, 308):
            raise RegistryError(
                f"{urlsplit(url).netloc} redirects a {method} with status {status}, which loses its body"
            )
        after = target(url, location, insecure=insecure)
        if place(after) != place(url):
            if secret:
                raise RegistryError(
                    f"{place(url)[1]} sends our credentials on to {place(after)[1]}: they do not go there"
                )
            headers = {name: value for name, value in headers.items() if name.lower() not in _PRIVATE}
        url = after
    raise RegistryError(
        f"{urlsplit(url).netloc} redirects in a circle: {MOST} times", hint="the registry is set up wrongly"
    )


def target(url: str, location: str, *, insecure: bool) -> str:
    """Where a Location leads from `url`, relative or absolute. Raises RegistryError for what must not be followed."""
    try:
        after = urljoin(url, location.strip())
    except ValueError:
        after = ""
    if not is_address(after):
        raise RegistryError(f"{urlsplit(url).netloc} redirects to {clean(location)!r}, which is no address")
    if after.startswith("http:") and url.startswith("https:") and not insecure:
        raise RegistryError(
            f"{urlsplit(url).netloc} redirects from https to http, to {place(after)[1]}",
            hint="insecure = true for this registry in the settings file allows it; know why before",
        )
    return after


def is_address(url: str) -> bool:
    """Whether it is an http address that we may go to: no user in it, no letters that a header must not have."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and _HOST.fullmatch(parts.netloc) is not None
            and parts.port != 0
            and re.fullmatch(r"[!-~]+", url) is not None
        )
    except ValueError:
        return False


def place(url: str) -> tuple[str, str, int]:
    """(scheme, host, port): what has to be the same for credentials to go along. Raises ValueError."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
