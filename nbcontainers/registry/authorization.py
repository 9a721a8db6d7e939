"""The dance of WWW-Authenticate with one registry: none, Basic, or a Bearer token from a server it names.

https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/. Tokens are kept for each set of scopes until
they expire; all threads of a Repository share them.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from nbcontainers.errors import RegistryError
from nbcontainers.registry import challenge, failure
from nbcontainers.registry.challenge import Challenge
from nbcontainers.registry.credentials import Credentials
from nbcontainers.registry.patience import retried
from nbcontainers.registry.redirect import follow, is_address
from nbcontainers.registry.settings import split_port
from nbcontainers.registry.transport import Transport

MAX_TOKEN = 64 << 10
LIFETIME_S, LONGEST_S = 60.0, 86400.0
"""Of a token that does not say how long it is good, and at the most."""
CLIENT = "nbcontainers"


class Authorization:
    """Ours at one host. `find` gives our credentials, asked only once the registry wants to know who we are."""

    def __init__(
        self, transport: Transport, host: str, key: str, find: Callable[[], Credentials | None], *, insecure: bool
    ) -> None:
        self.transport, self.host, self.key, self.insecure = transport, host, key, insecure
        self._find = find
        self._credentials: list[Credentials | None] = []
        self._bearer: Challenge | None = None
        self._basic = False
        self._scopes: set[str] = set()
        self._tokens: dict[frozenset[str], tuple[str, float]] = {}
        self._lock = threading.RLock()

    @property
    def credentials(self) -> Credentials | None:
        with self._lock:
            if not self._credentials:
                self._credentials.append(self._find())
            return self._credentials[0]

    def header(self, scopes: Iterable[str]) -> dict[str, str]:
        """What to send with a request: nothing before the registry asked."""
        with self._lock:
            if self._bearer:
                return {"Authorization": f"Bearer {self._token(merged({*scopes, *self._scopes}))}"}
            if self._basic and (known := self.credentials):
                return {"Authorization": known.basic}
        return {}

    def learn(self, headers: Iterable[str], sent: str) -> bool:
        """Take in a 401 to a request that bore `sent`; whether it is worth another try.

        Raises RegistryError for ways to log in that we do not know, or must not go.
        """
        offered = {one.scheme: one for one in challenge.parse(headers)}
        with self._lock:
            if bearer := offered.get("bearer"):
                self._check_realm(bearer.parameters.get("realm", ""))
                self._bearer = bearer
                self._scopes.update(bearer.parameters.get("scope", "").split())
                self._tokens = {scopes: one for scopes, one in self._tokens.items() if f"Bearer {one[0]}" != sent}
                return True
            if "basic" in offered:
                self._basic = True
                return not sent and self.credentials is not None
        if offered:
            raise self._unknown(offered)
        return False

    def refused(self, doing: str, said: str = "") -> RegistryError:
        """The error for a 401 that nothing of ours helps against."""
        known = self.credentials
        for secret in filter(None, (known.password, known.identity_token) if known else ()):
            said = said.replace(secret, "…")  # a server may say what it was sent
        because = f" ({said})" if said else ""
        if known is None:
            message = f"{self.key} does not let us in without a login: {doing} does not exist or is private"
        else:
            who = f"user {known.username}" if known.username else "our token"
            message = f"{self.key} refuses {who}: a wrong password, or no right to {doing}"
        return RegistryError(message + because, hint=f"%image login {self.key}", status=401)

    def _unknown(self, offered: Iterable[str]) -> RegistryError:
        ways = ", ".join(map(failure.clean, offered))
        return RegistryError(f"{self.key} wants a login by {ways}; we know Basic and Bearer", status=401)

    def _token(self, scopes: frozenset[str]) -> str:
        token, until = self._tokens.get(scopes, ("", 0.0))
        if time.monotonic() >= until:
            document = self._ask(sorted(scopes))
            said = document.get("token") or document.get("access_token")
            if not isinstance(said, str) or not said.isascii() or not said.isprintable() or " " in said:
                raise self._bad("its answer has no token")
            token = said
            lifetime = document.get("expires_in")
            lifetime = min(lifetime, LONGEST_S) if isinstance(lifetime, (int, float)) and lifetime > 0 else LIFETIME_S
            self._tokens[scopes] = token, time.monotonic() + max(lifetime * 0.8, lifetime - 30.0)
        return token

    def _ask(self, scopes: list[str]) -> dict[str, Any]:
        """One request to the token server."""
        assert self._bearer
        realm, service = self._bearer.parameters["realm"], self._bearer.parameters.get("service", "")
        known = self.credentials
        if known and known.identity_token:
            return self._post(realm, service, scopes, grant_type="refresh_token", refresh_token=known.identity_token)
        words = [("service", service)] * bool(service) + [("scope", scope) for scope in scopes]
        headers = {}
        if known:
            words.append(("account", known.username))
            headers = {"Authorization": known.basic}
        joint = "&" if urlsplit(realm).query else "?"
        url = realm + (joint + urlencode(words) if words else "")
        status, content, kind = self._exchange("GET", url, headers, None)
        if status in (404, 405) and known:
            return self._post(
                realm, service, scopes, grant_type="password", username=known.username, password=known.password
            )
        return self._document(status, content, kind)

    def _post(self, realm: str, service: str, scopes: list[str], **words: str) -> dict[str, Any]:
        """OAuth2 (RFC 6749): for identity tokens, and servers that know nothing else."""
        form = {"client_id": CLIENT, "service": service, "scope": " ".join(scopes), **words}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._document(*self._exchange("POST", realm, headers, urlencode(form).encode()))

    def _exchange(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes, str]:
        """Status, content and media type of an answer that is final. A body holds a password or a token."""

        def once() -> tuple[int, bytes, str]:
            with follow(
                self.transport, method, url, headers, body, insecure=self.insecure, secret=body is not None
            ) as answer:
                content = answer.read(MAX_TOKEN)
                if answer.status in failure.RETRIED:
                    raise failure.of_status(answer.status, answer.headers, content, self.host, "a token", self.key)
                return answer.status, content, answer.media_type

        return retried(self.transport, once)

    def _document(self, status: int, content: bytes, kind: str) -> dict[str, Any]:
        if status in (400, 401, 403):
            raise self.refused("what was asked for", failure.told(content))
        if failure.is_html(kind, content):
            raise self._bad("a web page")
        if status != 200:
            raise self._bad(f"status {status}")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._bad("its answer is no JSON object")
        return document

    def _bad(self, why: str) -> RegistryError:
        server = urlsplit(self._bearer.parameters["realm"]).netloc if self._bearer else self.host
        return RegistryError(f"the token server {server} of {self.key} gives no token: {why}", hint="try again later")

    def _check_realm(self, realm: str) -> None:
        """A registry may not send our password, or our requests, to where they should not go."""
        url, why = urlsplit(realm if is_address(realm) else ""), ""
        host = url.hostname or ""
        if not host:
            why = "which is no address of a token server"
        elif url.scheme == "http" and not self.insecure:
            why = "where passwords would travel in the clear"
        elif not self.insecure and host != split_port(self.host)[0] and _is_private(host):
            if not _is_private(split_port(self.host)[0]) or _is_link_local(host):
                why = "an address inside the network of this machine"
        if why:
            raise RegistryError(
                f"{self.key} sends us for a token to {failure.clean(realm)!r}, {why}",
                hint="do not trust this registry, unless you know why: then insecure = true in the settings file allows it",
            )


def merged(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes with all actions of a repository in one: `repository:a:pull` and `…:push` are `repository:a:pull,push`."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, _, words = scope.rpartition(":")
        actions.setdefault(resource, set()).update(words.split(","))
    return frozenset(f"{resource}:{','.join(sorted(words))}".lstrip(":") for resource, words in actions.items())


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, UnicodeError, ValueError):
        return []  # behind a proxy names may be unknown here


def _is_private(host: str) -> bool:
    return any(not one.is_global for one in _addresses(host))


def _is_link_local(host: str) -> bool:
    return any(one.is_link_local for one in _addresses(host))
