"""One repository at one registry: requests with authorization, redirects, and patience."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from nbcontainers.errors import RegistryError
from nbcontainers.registry import failure, redirect
from nbcontainers.registry.authorization import Authorization
from nbcontainers.registry.credentials import Credentials
from nbcontainers.registry.patience import retried
from nbcontainers.registry.settings import Settings, Source
from nbcontainers.registry.transport import Answer, Send, Transport

MAX_ERROR = 64 << 10


class Endpoint:
    """Where a repository is, and how it is asked. `actions` are what tokens are asked for: pull, or pull,push."""

    def __init__(
        self, source: Source, settings: Settings, find: Callable[[], Credentials | None], *, actions: str = "pull"
    ) -> None:
        self.source = source
        self.settings = settings
        self.transport = Transport(settings, self._is_verified)
        self.authorization = Authorization(
            self.transport, source.host, source.key, find, insecure=source.insecure
        )  # fmt: skip
        self.scopes = frozenset({f"repository:{source.path}:{actions}"} if source.path else ())
        self.avoided = False  # a mirror that failed, or broke off, is not asked again
        self._base = ""
        self._finding = threading.Lock()

    @property
    def name(self) -> str:
        """host/path, as errors call it."""
        return f"{self.source.key}/{self.source.path}"

    def ask(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        fine: Iterable[int] = (200,),
        scopes: Iterable[str] = (),
        patient: bool = True,
    ) -> Answer:
        """The answer to a request, of a status in `fine`; anything else is the RegistryError that fits.

        `path` follows /v2/, or is a whole address that the registry gave. `doing` is what errors say was asked for.
        Without `patient` it is tried once.
        """
        wanted = frozenset(scopes) | self.scopes

        def once() -> Answer:
            answer = self._authorized(method, path, headers or {}, body, wanted)
            return answer if answer.status in fine else self._fail(answer, doing)

        return retried(self.transport, once) if patient else once()

    def send(
        self, method: str, url: str, doing: str, headers: Mapping[str, str], send: Send, fine: Iterable[int]
    ) -> Answer:
        """One request with a body that `send` writes: once, not redirected."""
        sent = self.authorization.header(self.scopes)
        answer = self.transport.ask(method, url, {**headers, **self._ours(url, sent)}, send=send)
        return answer if answer.status in fine else self._fail(answer, doing)

    def _authorized(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, scopes: frozenset[str]
    ) -> Answer:
        url = self.url(path)
        for last in (False, False, True):  # with no credentials, with a token, with a token for more
            sent = self.authorization.header(scopes)
            asked = {**headers, **self._ours(url, sent)}
            answer = redirect.follow(self.transport, method, url, asked, body, insecure=self.source.insecure)
            if answer.status != 401 or not self._is_ours(answer.url):
                return answer
            challenges = answer.headers.get_all("WWW-Authenticate") or []
            if last or not self.authorization.learn(challenges, sent.get("Authorization", "")):
                return answer
            answer.close()
        raise AssertionError("not reached")

    def _ours(self, url: str, sent: Mapping[str, str]) -> Mapping[str, str]:
        """The headers that say who we are, for addresses of this registry only."""
        return sent if self._is_ours(url) else {}

    def _is_ours(self, url: str) -> bool:
        """Whether an address is this registry: nobody else may see, or ask for, who we are."""
        return redirect.place(url) == redirect.place(self.url(""))

    def _is_verified(self, host: str) -> bool:
        """Whether the certificate of a host that we come to is checked; a storage or token server has its own rules."""
        return not (self.source.insecure if host == self.source.host else self.settings.insecure(host))

    def url(self, path: str) -> str:
        """The whole address of a path below /v2/."""
        return path if "://" in path else f"{self.base()}/v2/{path}"

    def target(self, url: str, location: str) -> str:
        """Where a Location in the answer to `url` leads."""
        return redirect.target(url, location, insecure=self.source.insecure)

    def base(self) -> str:
        """scheme://host. An insecure registry is asked by https first and by http if that is not its language."""
        with self._finding:
            if not self._base:
                secure = not self.source.insecure or self._speaks_tls()
                self._base = f"{'https' if secure else 'http'}://{self.source.host}"
        return self._base

    def _speaks_tls(self) -> bool:
        try:
            with self.transport.ask("GET", f"https://{self.source.host}/v2/", {}):
                return True
        except RegistryError:
            self.transport.check_open()
            return False

    def _fail(self, answer: Answer, doing: str) -> NoReturn:
        with answer:
            try:
                body = answer.read(MAX_ERROR)
            except RegistryError:
                body = b""  # the status says enough
        if answer.status == 401 and self._is_ours(answer.url):
            raise self.authorization.refused(doing, failure.told(body))
        host = self.source.host if self._is_ours(answer.url) else redirect.place(answer.url)[1]
        raise failure.of_status(answer.status, answer.headers, body, host, doing, self.source.key)

    def close(self) -> None:
        self.transport.close()
