"""Bytes to and from hosts: HTTP/1.1 connections that are kept and used again, with TLS, proxies and time-outs.

One Transport serves all threads of a Repository; a connection belongs to one answer at a time.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from nbcontainers.errors import InvalidArgument, RegistryError
from nbcontainers.registry import failure, tls
from nbcontainers.registry.settings import Settings, is_loopback, split_port
from nbcontainers.version import VERSION

AGENT = f"nbcontainers/{VERSION}"
PACE = 1024
"""Bytes that must come in twice the stall time: a drip that never stalls would otherwise hold us for ever."""

Send = Callable[["Connection"], None]
"""Writes a request's body into the connection."""


class Transport:
    """The connections of one Repository. `verify` says for a host whether its certificate is checked."""

    def __init__(self, settings: Settings, verify: Callable[[str], bool]) -> None:
        self.settings = settings
        self.verify = verify
        self.closed = threading.Event()
        self._idle: dict[str, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, send: Send | None = None
    ) -> Answer:
        """One request, one answer; an old connection that turns out dead is replaced by a new one.

        Raises RegistryError. A `send` that was begun is not repeated.
        """
        target = urlsplit(url)
        while True:
            connection = self._connection(target)
            used = connection.used
            try:
                if not used:
                    connection.connect()
                return Answer(self, connection, connection.exchange(method, target, headers, body, send))
            except BaseException as error:
                self.drop(connection)
                if isinstance(error, Exception):
                    self.check_open()
                if used and not send and isinstance(error, _DEAD):
                    continue
                if isinstance(error, (OSError, http.client.HTTPException, UnicodeError)):
                    raise failure.of_network(error, connection.meeting(error), self.settings) from error
                raise

    def _connection(self, target: SplitResult) -> Connection:
        """One that is kept, or a new one that is not connected yet."""
        self.check_open()
        key = f"{target.scheme}://{target.netloc}"
        with self._lock:
            if idle := self._idle.get(key):
                return idle.pop()
        connection = Connection(self, target, key)
        with self._lock:
            self._all.add(connection)
        return connection

    def keep(self, connection: Connection) -> None:
        """The connection may be used again."""
        connection.used = True
        with self._lock:
            if not self.closed.is_set():
                self._idle.setdefault(connection.key, []).append(connection)
                return
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._all.discard(connection)

    def context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = tls.context(self.settings, host, verify=self.verify(host))
            return self._contexts[host]

    def wait(self, seconds: float) -> None:
        """Sleep, unless we are closed meanwhile: then RegistryError."""
        self.closed.wait(seconds)
        self.check_open()

    def check_open(self) -> None:
        if self.closed.is_set():
            raise RegistryError("the transfer was ended")

    def close(self) -> None:
        """End every connection; whoever waits for one, in whatever thread, gets RegistryError, and closes it."""
        self.closed.set()
        with self._lock:
            connections, idle, self._idle = list(self._all), [one for some in self._idle.values() for one in some], {}
        for connection in connections:
            connection.end()
        for connection in idle:
            self.drop(connection)


_DEAD = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.CannotSendRequest)
"""What a kept connection gives that the other side has closed meanwhile."""


class Connection(http.client.HTTPConnection):
    """One connection to a host, through a proxy if the environment says so."""

    auto_open = 0  # one that has ended is not opened again on the way

    def __init__(self, transport: Transport, target: SplitResult, key: str) -> None:
        self.key = key
        self.used = False
        self.wire: socket.socket | None = None
        self.transport = transport
        self.secure = target.scheme == "https"
        self.netloc = target.netloc
        name, port = split_port(target.netloc, 443 if self.secure else 80)
        self.server_name = name
        self.proxy = proxy(transport.settings.proxies, target.scheme, name, port)
        self.headers = proxy_headers(self.proxy)
        at = (self.proxy.hostname or "", self.proxy.port or 80) if self.proxy else (name, port)
        super().__init__(at[0], at[1], timeout=transport.settings.connect_timeout)
        if self.proxy and self.secure:
            self.set_tunnel(name, port, headers=self.headers)

    def connect(self) -> None:
        """Within the connect time-out; after that only the stall time-out counts. Raises RegistryError once we are closed."""
        settings = self.transport.settings
        try:
            super().connect()
            if self.secure:
                context = self.transport.context(self.netloc)
                self.sock = context.wrap_socket(self.sock, server_hostname=self.server_name)
        except TimeoutError:
            raise TimeoutError(f"no connection within {settings.connect_timeout:g} s") from None
        self.sock.settimeout(settings.stall_timeout)
        self.wire = self.sock  # which http.client forgets as soon as it knows that an answer is the last one
        self.transport.check_open()

    def meeting(self, error: BaseException) -> str:
        """Who it was that failed: the proxy where no connection came about, else the host."""
        by_host = not self.proxy or self.wire or isinstance(error, ssl.SSLError) or "Tunnel connection" in str(error)
        return self.netloc if by_host else f"the proxy {self.host}:{self.port}"

    def exchange(
        self, method: str, target: SplitResult, headers: Mapping[str, str], body: bytes | None, send: Send | None
    ) -> http.client.HTTPResponse:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        if self.proxy and not self.secure:
            path = f"{target.scheme}://{target.netloc}{path}"
        self.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": self.netloc, "User-Agent": AGENT, "Accept-Encoding": "identity", **headers}.items():
            self.putheader(name, value)
        for name, value in ({} if self.secure else self.headers).items():
            self.putheader(name, value)
        if body is not None or (method in ("POST", "PUT", "PATCH") and not send):
            self.putheader("Content-Length", str(len(body or b"")))
        try:
            self.endheaders(body or None)
            if send:
                send(self)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
            return self._early_answer(error)
        return self.getresponse()

    def _early_answer(self, error: OSError) -> http.client.HTTPResponse:
        """Who wants no more of a request, or knows us not by our certificate, may have said why before he hung up."""
        try:
            return self.getresponse()
        except ssl.SSLEOFError:
            raise error from None
        except ssl.SSLError:
            raise
        except (OSError, http.client.HTTPException):
            raise error from None

    def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        response.fp.close()
        response.fp = io.BufferedReader(_Paced(sock, self.transport.settings.stall_timeout))
        return response

    def end(self) -> None:
        """Whoever reads from it or writes into it is at its end. It is his to close: http.client is not for two threads."""
        with suppress(OSError):  # it is not connected any more
            if self.wire:
                self.wire.shutdown(socket.SHUT_RDWR)


class _Paced(io.RawIOBase):
    """The reading end of a socket that tells a slow drip from a slow reader: only time spent waiting counts."""

    def __init__(self, sock: socket.socket, stall: float) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._stall = stall
        self._waited = 0.0
        self._got = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        start = time.monotonic()
        try:
            count = self._raw.readinto(buffer) or 0
        except TimeoutError:
            raise TimeoutError(f"nothing came for {self._stall:g} s") from None
        self._waited += time.monotonic() - start
        self._got += count
        if self._waited > 2 * self._stall:
            if self._got < PACE and count:
                raise TimeoutError(f"only {self._got} bytes came in {self._waited:.3g} s")
            self._waited, self._got = 0.0, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Answer:
    """An answer whose body is still to be read. Close it: read to its end, the connection is used again."""

    def __init__(self, transport: Transport, connection: Connection, response: http.client.HTTPResponse) -> None:
        self.transport = transport
        self.connection: Connection | None = connection
        self.response = response
        self.status = response.status
        self.url = connection.key  # scheme and host of who answers, at the end of all redirects
        self.host = connection.netloc
        self.headers = response.headers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def length(self) -> int | None:
        """Content-Length as the body will be read; None where it is not told."""
        return self.response.length

    @property
    def media_type(self) -> str:
        return failure.media_type(self.headers)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the body goes. Raises RegistryError."""
        try:
            return self.response.readinto(buffer)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._broken(error) from error

    def read(self, limit: int) -> bytes:
        """The whole body. Raises RegistryError for one that is longer than `limit` bytes, or cut off."""
        said, content = self.length, b""
        try:
            if said is None or said <= limit:
                content = self.response.read(limit + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        if max(said or 0, len(content)) > limit:
            raise RegistryError(f"{self.host} answers with more than the {limit} bytes such an answer may have")
        if len(content) < (said or 0):
            self.transport.check_open()
            raise failure.broken_off(self.host)
        return content

    def _broken(self, error: Exception) -> RegistryError:
        self.transport.check_open()
        if isinstance(error, ValueError):  # the connection was closed by another thread
            error = ConnectionResetError(str(error))
        return failure.of_network(error, self.host, self.transport.settings)

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.response.length == 0:
            self.response.read()  # that is how http.client learns it
        whole = self.response.isclosed() and not self.response.will_close
        self.response.close()
        if whole:
            self.transport.keep(connection)
        else:
            self.transport.drop(connection)


def proxy(proxies: Mapping[str, str], scheme: str, name: str, port: int) -> SplitResult | None:
    """The proxy for a host, or None. Raises InvalidArgument for one of a form we cannot use."""
    url = proxies.get(scheme, "")
    if not url or is_loopback(f"[{name}]" if ":" in name else name) or bypassed(proxies.get("no", ""), name, port):
        return None
    try:
        found = urlsplit(url if "://" in url else f"http://{url}")
        if found.scheme == "http" and re.fullmatch(r"[!-~]+", found.hostname or "") and found.port != 0:
            return found
    except ValueError:
        pass  # a port or an address that is none; they are not shown, as a password may stand beside them
    raise InvalidArgument(f"{scheme}_proxy is no http://HOST:PORT", hint=f"set {scheme}_proxy to the proxy's address")


def proxy_headers(url: SplitResult | None) -> dict[str, str]:
    if url is None or url.username is None:
        return {}
    words = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words.encode()).decode()}


def bypassed(no_proxy: str, name: str, port: int) -> bool:
    """Whether no_proxy names the host: as `*`, host, .domain (also without its dot), address, network or any with :port."""
    for one in filter(None, map(str.strip, no_proxy.lower().split(","))):
        place, _, wanted = one.partition(":") if one.count(":") == 1 else (one, "", "")
        if wanted and wanted != str(port):
            continue
        if place == "*" or _is_in(name, place) or f".{name.lower()}".endswith("." + place.lstrip("*").lstrip(".")):
            return True
    return False


def _is_in(name: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
