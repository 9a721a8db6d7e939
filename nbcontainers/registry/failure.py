"""What went wrong between us and a registry, in words, with what to type."""

from __future__ import annotations

import email.utils
import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from email.message import Message
from typing import TYPE_CHECKING

from nbcontainers.errors import RegistryError
from nbcontainers.oci.reference import HUB

if TYPE_CHECKING:
    from nbcontainers.registry.settings import Settings

RETRIED = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 522})
"""Statuses after which the same request may well succeed."""

_PORTAL = "open http://{host} in a browser: a login page of the network, a proxy or a web server answers in its place"


Headers = Mapping[str, str] | Message
"""Of an answer; a Message finds them however they are spelt."""


def of_network(error: Exception, host: str, settings: Settings) -> RegistryError:
    """What the network, TLS or http.client raised while we talked to `host`."""
    if isinstance(error, RegistryError):
        return error
    if isinstance(error, ssl.SSLError):
        return _of_tls(error, host, settings)
    if isinstance(error, TimeoutError):
        message = f"{host} did not answer in time: {error or 'connection timed out'}"
        hint = f"try again later, or raise stall_timeout or connect_timeout in {settings.path}"
        return RegistryError(message, hint=hint, retry=True)
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        return _of_http(error, host)
    return _of_socket(error, host)


def _of_socket(error: Exception, host: str) -> RegistryError:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        again = getattr(error, "errno", None) == socket.EAI_AGAIN
        what = "the name server does not answer for" if again else "there is no host"
        return RegistryError(f"{what} {host}", hint="check its spelling and the network connection", retry=again)
    if isinstance(error, ConnectionRefusedError):
        return RegistryError(f"{host} refuses the connection", hint="check host and port, and that the registry runs")
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return broken_off(host)
    if "Tunnel connection failed" in str(error):
        return RegistryError(
            f"the proxy refuses a connection to {host}: {str(error).partition(': ')[2]}",
            hint="check https_proxy (http://USER:PASSWORD@HOST:PORT), or add the host to no_proxy",
        )
    why = getattr(error, "strerror", None) or error
    return RegistryError(f"{host} cannot be reached: {why}", hint="check the network connection", retry=True)


def broken_off(host: str) -> RegistryError:
    return RegistryError(f"{host} closed the connection half way", hint="try again", retry=True)


def _of_tls(error: ssl.SSLError, host: str, settings: Settings) -> RegistryError:
    table = f'[registry."{host}"]'
    if isinstance(error, ssl.SSLCertVerificationError):
        return RegistryError(
            f"the certificate of {host} is not trusted: {error.verify_message}",
            hint=f'write {table} and ca = "/path/of/its/ca.pem" into {settings.path}, '
            f"or put the CA into /etc/containers/certs.d/{host}/ca.crt",
        )
    reason = getattr(error, "reason", None) or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"):
        return RegistryError(
            f"{host} does not speak TLS",
            hint=f"if it is a registry without TLS, write {table} and insecure = true into {settings.path}",
        )
    return RegistryError(
        f"no TLS connection with {host}: {reason.replace('_', ' ').lower()}",
        hint=f"if it wants a client certificate, put client.cert and client.key into /etc/containers/certs.d/{host}",
        retry=isinstance(error, ssl.SSLEOFError),
    )


def _of_http(error: http.client.HTTPException, host: str) -> RegistryError:
    if isinstance(error, http.client.IncompleteRead):
        return broken_off(host)
    return not_a_registry(host, f"its answer is not HTTP ({type(error).__name__})")


def not_a_registry(host: str, why: str, status: int | None = None) -> RegistryError:
    """Somebody else answers in its place."""
    return RegistryError(f"{host} does not answer as a registry: {why}", hint=_PORTAL.format(host=host), status=status)


def of_status(status: int, headers: Headers, body: bytes, host: str, doing: str, key: str) -> RegistryError:
    """The words for an HTTP status that is a failure. `doing` is what was asked for, `key` the registry as named."""
    said = told(body)
    if status == 429:
        return _too_many(headers, key, doing)
    if not said and is_html(media_type(headers), body):
        return not_a_registry(host, f"a web page, with status {status}", status)
    because = f": {said}" if said else ""
    if status == 403:
        return RegistryError(
            f"{key} denies access to {doing}{because}", hint=f"%image login {key} as a user who may", status=status
        )
    if status == 404:
        return RegistryError(f"{doing} does not exist{because}", hint=_where_tags_are(doing), status=status)
    if status in RETRIED:
        hint = "its trouble is not ours: try again later"
        message = f"{host} answers {status} to {doing}{because}"
        return RegistryError(message, hint=hint, retry=True, status=status, after=pause(headers))
    return RegistryError(f"{host} answers {status} to {doing}{because}", status=status)


def _too_many(headers: Headers, key: str, doing: str) -> RegistryError:
    """Docker Hub's pull limit has headers of its own: `ratelimit-limit: 100;w=21600`."""
    limit, _, window = (headers.get("ratelimit-limit") or "").partition(";w=")
    after = clean(headers.get("retry-after") or "")
    when = f"; it says to try again after {after}" + " s" * after.isdecimal() if after else ""
    hint = f"%image login {key} raises the limit of those without an account; or wait"
    if limit.isdecimal() or key == HUB:
        hours = f"{int(window[:9]) / 3600:g} hours" if window.isdecimal() else "6 hours"
        many = f"{clean(limit)} pulls in {hours}" if limit.isdecimal() else "pulls"
        message = f"Docker Hub's limit of {many} is used up{when}"
    else:
        message = f"{key} has had too many requests from here{when}"
    return RegistryError(f"{message} ({doing})", hint=hint, retry=True, status=429, after=pause(headers))


def pause(headers: Headers) -> float:
    """Seconds that a Retry-After asks for: a number, or a date (RFC 9110, 10.2.3); 0 for anything else."""
    header = (headers.get("retry-after") or "").strip()
    if header.isdecimal():
        return float(header[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def told(body: bytes) -> str:
    """What the registry says itself: `{"errors": [{"code", "message"}]}` (spec.md, Error Codes); "" if nothing."""
    try:
        document = json.loads(body)
        if isinstance(document, dict) and isinstance(document.get("errors"), list):
            first = document["errors"][0]
            return clean(str(first.get("message") or first.get("code") or ""))
        return clean(str(document.get("message") or document.get("details") or document.get("error") or ""))
    except (ValueError, RecursionError, AttributeError, IndexError):
        return ""


def clean(text: str) -> str:
    """Text of a stranger for a message of ours: one line, no control characters, of a bounded length."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def media_type(headers: Headers) -> str:
    """The Content-Type in lower case, without its parameters; "" where it is not told."""
    return (headers.get("content-type") or "").partition(";")[0].strip().lower()


def is_html(kind: str, body: bytes) -> bool:
    """Whether an answer of this media type is a web page, by the type or by its first bytes."""
    page = body.lstrip()[:14].lower().startswith((b"<!doctype", b"<html"))
    return page or kind in ("text/html", "application/xhtml+xml")


def _where_tags_are(doing: str) -> str:
    """What to type where host/path:tag is not there."""
    repository, colon, tag = doing.rpartition(":")
    named = colon and "/" in repository and not set(doing) & set(" @") and "/" not in tag
    return f"%image tags {repository} shows what is there" if named else "check name and tag"
