"""What can go wrong between us and a host, and how it is told; redirects, proxies, TLS, connections kept."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import InvalidArgument, RegistryError
from nbcontainers.oci.reference import parse
from nbcontainers.registry import failure, patience, redirect, transport
from nbcontainers.registry.repository import Repository
from nbcontainers.registry.settings import Registry, Settings
from tests.registries import Liar, Said, certificates, free_port, image_of, lying_registry

IMAGE = image_of([b"a layer " * 1000])
HTML = Said(200, b"<!DOCTYPE html><title>Log in to the WLAN</title>", {"Content-Type": "text/html; charset=utf-8"})


@contextlib.contextmanager
def repository(host: str, settings: Settings, **options: Any) -> Iterator[Repository]:
    with Repository(parse(f"{host}/a/b:1"), settings, **options) as one:
        yield one


def failing(host: str, settings: Settings, **options: Any) -> RegistryError:
    """The error of asking for a manifest."""
    with repository(host, settings, **options) as one, pytest.raises(RegistryError) as caught:
        one.manifest("1")
    assert caught.value.to_json()["error"] == "RegistryError"
    return caught.value


# Who does not answer


def test_nobody_listens(nobody: Path) -> None:
    error = failing(f"127.0.0.1:{free_port()}", Settings())
    assert "refuses the connection" in error.message
    assert error.hint == "check host and port, and that the registry runs"
    assert error.retry is False


def test_there_is_no_such_host(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*words: Any, **options: Any) -> Any:
        raise socket.gaierror(number, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    number = socket.EAI_NONAME
    error = failing("no-such.example", Settings())
    assert (error.message, error.retry) == ("there is no host no-such.example", False)
    assert "spelling" in error.hint
    number = socket.EAI_AGAIN
    error = failing("no-such.example", Settings(tries=1))
    assert (error.message, error.retry) == ("the name server does not answer for no-such.example", True)


def test_a_host_that_takes_no_connection(nobody: Path) -> None:
    """A full backlog: the kernel answers no more SYN."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        start = time.monotonic()
        error = failing(f"127.0.0.1:{full.getsockname()[1]}", Settings(connect_timeout=0.2, tries=1))
        assert time.monotonic() - start < 2
    assert "did not answer in time: no connection within 0.2 s" in error.message
    assert "raise stall_timeout or connect_timeout in registries.toml" in error.hint
    assert error.retry


@contextlib.contextmanager
def raw_server(answer: bytes | None, *, close: bool = True) -> Iterator[str]:
    """A server that reads a little and then says `answer` to whomever, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        if answer is not None:
                            connection.sendall(answer)
                        if not close:
                            stop.wait(5)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "answer, why",
    [
        (b"220 mail.example ESMTP\r\n", "does not answer as a registry: its answer is not HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", "not HTTP (LineTooLong)"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 500 + b"\r\n", "not HTTP (HTTPException)"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", "closed the connection half way"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "closed the connection half way"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "does not answer as a registry: what it sends as a manifest is not JSON"),
        (b"", "closed the connection half way"),
    ],
)
def test_garbage(nobody: Path, answer: bytes, why: str) -> None:
    with raw_server(answer) as host:
        error = failing(host, Settings(tries=1, stall_timeout=1))
    assert why in error.message
    assert host in error.message


def test_silence(nobody: Path) -> None:
    with raw_server(None, close=False) as host:
        error = failing(host, Settings(tries=1, stall_timeout=0.2, connect_timeout=0.2))
    assert "nothing came for 0.2 s" in error.message
    assert error.retry


def test_silence_is_waited_for_once(liar: Liar) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(before=20))
    start = time.monotonic()
    assert failing(liar.host, liar.settings(tries=9, stall_timeout=0.2)).retry
    assert time.monotonic() - start < 2
    assert liar.paths("GET").count("/v2/a/b/manifests/1") == 1


def test_a_slow_drip_is_a_stall(liar: Liar) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(200, b"{" + b" " * 4000, drip=0.02))
    start = time.monotonic()
    error = failing(liar.host, liar.settings(tries=1, stall_timeout=0.2))
    assert "bytes came in 0.4" in error.message
    assert error.retry
    assert time.monotonic() - start < 5


def test_endless_answers_to_come_are_a_stall(nobody: Path) -> None:
    """100 Continue, again and again, never the answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):  # TLS is tried first
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    if connection.recv(65536)[:3] == b"GET":
                        for _ in range(2000):
                            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                            time.sleep(0.05)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        error = failing(f"127.0.0.1:{server.getsockname()[1]}", Settings(tries=1, stall_timeout=0.2))
        assert "did not answer in time: only" in error.message
        thread.join()


def test_an_endless_document(liar: Liar) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(endless=True))
    error = failing(liar.host, liar.settings())
    assert "answers with more than the 4194304 bytes such an answer may have" in error.message
    assert error.retry is False


# What answers in the registry's place


@pytest.mark.parametrize("status", [200, 404, 403, 503, 511])
def test_a_web_page(liar: Liar, status: int) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(status, HTML.body, HTML.headers))
    error = failing(liar.host, liar.settings(tries=1))
    assert f"{liar.host} does not answer as a registry: a web page" in error.message
    assert f"open http://{liar.host} in a browser" in error.hint


@pytest.mark.parametrize(
    "status, body, why, retry",
    [
        (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "does not exist: manifest unknown", False),
        (403, b'{"errors":[{"code":"DENIED"}]}', "denies access to", False),
        (500, b"oops", "answers 500 to", True),
        (502, b"", "answers 502 to", True),
        (418, b'{"errors":[{"message":"a\\u0007 tea\\npot' + b"t" * 2000 + b'"}]}', "answers 418 to", False),
        (400, b'{"errors":[]}', "answers 400 to", False),
        (400, b'{"errors":{}}', "answers 400 to", False),
        (400, b"[" * 100_000, "answers 400 to", False),
        (204, b"", "answers 204 to", False),
    ],
)  # fmt: skip
def test_statuses_in_words(liar: Liar, status: int, body: bytes, why: str, retry: bool) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(status, body, {"Content-Type": "application/json"}))
    error = failing(liar.host, liar.settings(tries=1))
    assert why in error.message
    assert (error.status, error.retry) == (status, retry)
    assert error.message.isprintable()
    assert len(error.message) < 400


# Patience


def test_trouble_that_passes(liar: Liar) -> None:
    manifest = liar.serve("a/b", "1", IMAGE)
    fine = liar.scripts["*", "/v2/a/b/manifests/1"]
    assert isinstance(fine, Said)
    liar.say("*", "/v2/a/b/manifests/1", [Said(503), Said(500), Said(raw=b""), fine])
    with repository(liar.host, liar.settings(tries=4)) as one:
        assert one.manifest("1")[0]["size"] > 0
    assert len(liar.paths("GET")) == 4 + 0
    assert manifest["schemaVersion"] == 2


def test_trouble_that_stays(liar: Liar) -> None:
    liar.say("*", "/v2/a/b/manifests/1", Said(503))
    start = time.monotonic()
    error = failing(liar.host, liar.settings(tries=3, backoff=0.05))
    assert (error.status, error.retry, len(liar.asked)) == (503, True, 3)
    assert 0.15 <= time.monotonic() - start < 3


def test_retry_after_is_kept(liar: Liar) -> None:
    *_, digest = IMAGE
    liar.serve("a/b", "1", IMAGE)
    fine = liar.scripts["*", f"/v2/a/b/manifests/{digest}"]
    assert isinstance(fine, Said)
    soon = formatdate(time.time() + 2, usegmt=True)
    liar.say("*", "/v2/a/b/manifests/1", [Said(429, headers={"Retry-After": "1"}), fine])
    start = time.monotonic()
    with repository(liar.host, liar.settings()) as one:
        one.manifest("1")
    assert 1 <= time.monotonic() - start < 5
    assert 0 < failure.pause({"retry-after": soon}) <= 2


@pytest.mark.parametrize(
    "header, seconds",
    [("0", 0), ("120", 120), ("9" * 400, 999999999), ("-5", 0), ("soon", 0), ("", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_forms(header: str, seconds: float) -> None:
    assert failure.pause({"retry-after": header}) == seconds


def test_a_pause_that_is_too_long_is_told_at_once(liar: Liar) -> None:
    said = Said(429, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', {"Retry-After": "3600"})
    liar.say("*", "/v2/a/b/manifests/1", said)
    error = failing(liar.host, liar.settings())
    assert f"{liar.host} has had too many requests from here; it says to try again after 3600 s" in error.message
    assert f"%image login {liar.host} raises the limit" in error.hint
    assert (error.status, error.retry, len(liar.asked)) == (429, True, 1)


def test_docker_hubs_limit_in_words(liar: Liar) -> None:
    headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"}
    liar.say("*", "/v2/a/b/manifests/1", Said(429, headers=headers))
    error = failing(liar.host, liar.settings(tries=1))
    assert "Docker Hub's limit of 100 pulls in 6 hours is used up" in error.message
    assert "%image login" in error.hint
    bare = failure.of_status(429, {}, b"", "registry-1.docker.io", "docker.io/library/x:1", "docker.io")
    assert "Docker Hub's limit of pulls is used up" in bare.message
    assert "%image login docker.io raises the limit" in bare.hint


@pytest.mark.parametrize(
    "limit", ["100;w=\u00b2", "\u00b2;w=1", "1;w=" + "9" * 5000, "9" * 5000 + ";w=1", ";w=", "\u00b2"]
)
def test_a_limit_that_is_no_number_is_none(liar: Liar, limit: str) -> None:
    liar.say("*", "/v2/a/b/manifests/1", Said(429, headers={"RateLimit-Limit": limit, "Retry-After": "\u00b3"}))
    error = failing(liar.host, liar.settings(tries=1))
    assert (error.status, error.retry) == (429, True)
    assert len(error.message) < 500


def test_close_ends_who_waits(liar: Liar) -> None:
    liar.say("*", "/v2/a/b/manifests/1", Said(before=20))
    liar.say("*", "/v2/a/b/manifests/2", Said(503))
    errors = []
    one = Repository(parse(f"{liar.host}/a/b:1"), liar.settings(stall_timeout=20, backoff=20))

    def ask(name: str) -> None:
        try:
            one.manifest(name)
        except RegistryError as error:
            errors.append(error.message)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("1", "2")]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len([path for path in liar.paths("GET") if path != "/v2/"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    one.close()
    for thread in threads:
        thread.join(5)
    assert errors == ["the transfer was ended"] * 2


def test_close_ends_who_reads_the_last_answer_of_a_connection(nobody: Path) -> None:
    """http.client lets go of its socket then; whoever reads goes on with what was made of it."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: x/y\r\nContent-Length: 99\r\n\r\nbegun"
    with raw_server(head, close=False) as host, repository(host, Settings(stall_timeout=20)) as one:
        errors: list[str] = []

        def read() -> None:
            try:
                one.origin.transport.ask("GET", f"http://{host}/", {}).read(200)
            except RegistryError as error:
                errors.append(error.message)

        thread = threading.Thread(target=read)
        thread.start()
        time.sleep(0.3)
        one.close()
        thread.join(3)
        assert errors == ["the transfer was ended"]


def test_nothing_is_begun_once_all_is_closed(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    """However late it comes: while a connection is being made, or between it and the request."""
    for late in ("connect", "exchange"):
        with repository(liar.host, liar.settings(stall_timeout=20)) as one:
            old = getattr(transport.Connection, late)

            def closing(self: Any, *words: Any, old: Any = old, one: Repository = one) -> Any:
                one.origin.transport.close()
                return old(self, *words)

            monkeypatch.setattr(transport.Connection, late, closing)
            with pytest.raises(RegistryError, match="the transfer was ended"):
                one.origin.transport.ask("GET", f"http://{liar.host}/late", {})
            monkeypatch.undo()
            assert not one.origin.transport._all, "no connection is left"
    assert liar.paths("GET") == []


# Connections


def test_a_connection_is_used_again(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        transport.Connection, "connect", lambda self, real=transport.Connection.connect: (made.append(self), real(self))
    )
    manifest = liar.serve("a/b", "1", IMAGE)
    with repository(liar.host, liar.settings()) as one:
        one.head("1")
        one.manifest("1")
        assert one.head("missing") is None
        with one.open_blob(manifest["layers"][0]) as blob:
            assert len(blob.read()) == 8000
        with one.open_blob(manifest["layers"][0]) as blob:
            blob.read(10)
        one.head("1")
    plain = [connection for connection in made if not connection.secure]
    assert len(plain) == 2, "only one that was left half read is replaced"


def test_a_connection_that_died_meanwhile_is_replaced(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    with repository(liar.host, liar.settings(tries=1)) as one:
        one.head("1")
        for connections in one.origin.transport._idle.values():
            for connection in connections:
                connection.sock.shutdown(socket.SHUT_RDWR)
        assert one.head("1")


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("form", ["absolute", "path", "relative"])
def test_redirects_are_followed(liar: Liar, status: int, form: str) -> None:
    manifest = liar.serve("a/b", "1", IMAGE)
    digest = manifest["layers"][0]["digest"]
    content = IMAGE[digest]
    where = {"absolute": f"http://{liar.host}/data/x?sig=a%2Fb&c=d", "path": "/data/x?sig=a%2Fb&c=d", "relative": "x"}
    liar.say("GET", f"/v2/a/b/blobs/{digest}", Said(status, headers={"Location": where[form]}))
    liar.say("GET", "/data/x", Said(body=content))
    liar.say("GET", "/v2/a/b/blobs/x", Said(body=content))
    with repository(liar.host, liar.settings()) as one, one.open_blob(manifest["layers"][0]) as blob:
        assert blob.read() == content
    assert liar.asked[-1].path == ("/v2/a/b/blobs/x" if form == "relative" else "/data/x?sig=a%2Fb&c=d")


def test_another_host_gets_no_credentials(liar: Liar, nobody: Path) -> None:
    from nbcontainers.registry.credentials import Credentials

    known = Credentials("me", "secret")
    manifest = liar.serve("a/b", "1", IMAGE)
    one = manifest["layers"][0]
    with lying_registry() as other:
        other.say("GET", "/data", Said(body=IMAGE[one["digest"]]))

        def answer(asked: Any) -> Said:
            if asked.headers.get("authorization") != known.basic:
                return Said(401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Said(307, headers={"Location": f"http://{other.host}/data"})

        liar.say("GET", f"/v2/a/b/blobs/{one['digest']}", answer)
        with repository(liar.host, liar.settings(), credentials=known) as here, here.open_blob(one, 5) as blob:
            assert blob.read() == IMAGE[one["digest"]][5:]
        (got,) = other.asked
    assert "authorization" not in got.headers
    assert got.headers["range"] == f"bytes=5-{one['size'] - 1}"
    assert got.headers["host"] == other.host


def test_redirects_in_a_circle(liar: Liar) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(302, headers={"Location": "1"}))
    error = failing(liar.host, liar.settings())
    assert "redirects in a circle" in error.message
    assert len(liar.asked) == redirect.MOST + 1


@pytest.mark.parametrize(
    "location, why",
    [
        ("ftp://x/y", "which is no address"), ("file:///etc/passwd", "which is no address"),
        ("http://[::1/x", "which is no address"), ("http://x:99999/", "which is no address"), ("/a b", "which is no address"),
        ("javascript:alert(1)", "which is no address"), ("http://me:word@x/", "which is no address"),
        ("http://a b/", "which is no address"), ("http://x:p/", "which is no address"), ("http://x:0/", "which is no address"),
        ("//x\u00e4/", "which is no address"),
    ],
)  # fmt: skip
def test_redirects_to_nowhere(liar: Liar, location: str, why: str) -> None:
    liar.say("GET", "/v2/a/b/manifests/1", Said(302, headers={"Location": location}))
    assert why in failing(liar.host, liar.settings()).message


def test_a_redirect_never_leaves_tls() -> None:
    with pytest.raises(RegistryError, match="redirects from https to http, to b") as caught:
        redirect.target("https://a/x", "http://b/y", insecure=False)
    assert "insecure = true" in caught.value.hint
    assert redirect.target("https://a/x", "http://b/y", insecure=True) == "http://b/y"
    assert redirect.target("https://a/x", "//b/y", insecure=False) == "https://b/y"


def test_a_post_is_not_made_a_get(liar: Liar) -> None:
    liar.say("POST", "/v2/a/b/blobs/uploads/", Said(302, headers={"Location": "/x"}))
    with repository(liar.host, liar.settings(), push=True) as one, pytest.raises(RegistryError) as caught:
        one.mount_blob("sha256:" + "a" * 64, "c/d")
    assert "redirects a POST with status 302" in caught.value.message


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates."""
    folder = tmp_path_factory.mktemp("tls")
    certificates(folder)
    return folder


def test_an_unknown_ca_is_told_with_the_setting(nobody: Path, authority: Path) -> None:
    with lying_registry(authority) as one:
        error = failing(one.host, one.settings(path="/etc/x.toml"), tls_verify=True)
    assert f"the certificate of {one.host} is not trusted: unable to get local issuer certificate" in error.message
    assert f'write [registry."{one.host}"] and ca = ' in error.hint
    assert "/etc/x.toml" in error.hint
    assert f"/etc/containers/certs.d/{one.host}/ca.crt" in error.hint
    assert error.retry is False


def test_the_ca_of_the_settings_is_trusted(nobody: Path, authority: Path) -> None:
    with lying_registry(authority) as one:
        one.serve("a/b", "1", IMAGE)
        settings = one.settings(registries=(Registry(one.host, ca=str(authority / "ca.pem")),))
        with repository(one.host, settings) as here:
            assert here.head("1")
            assert here.origin.base().startswith("https:")
            assert not here.origin.source.insecure


def test_the_name_must_fit(nobody: Path, authority: Path) -> None:
    with lying_registry(authority) as one:
        host = one.host.replace("127.0.0.1", "127.0.0.2")
        with socket.create_server(("127.0.0.2", int(host.partition(":")[2]))) as server:
            threading.Thread(target=_forward, args=(server, one.host), daemon=True).start()
            error = failing(host, one.settings(registries=(Registry(host, ca=str(authority / "ca.pem")),)))
    assert "IP address mismatch" in error.message


def _forward(server: socket.socket, host: str) -> None:
    """One connection, both ways."""
    name, _, port = host.partition(":")
    with contextlib.suppress(OSError):
        here, _ = server.accept()
        there = socket.create_connection((name, int(port)))

        def copy(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=copy, args=(there, here), daemon=True)
        thread.start()
        copy(here, there)
        thread.join(5)
        here.close()
        there.close()


def test_certs_d_is_read(nobody: Path, authority: Path, tmp_path: Path) -> None:
    with lying_registry(authority, client_ca=True) as one:
        one.serve("a/b", "1", IMAGE)
        folder = tmp_path / "certs.d" / one.host
        folder.mkdir(parents=True)
        (folder / "lab.crt").write_bytes((authority / "ca.pem").read_bytes())
        settings = one.settings(certs=(str(tmp_path / "certs.d"),), tries=1)
        error = failing(one.host, settings)
        assert "certificate required" in error.message
        assert f"put client.cert and client.key into /etc/containers/certs.d/{one.host}" in error.hint
        (folder / "client.cert").write_bytes((authority / "client.pem").read_bytes())
        with pytest.raises(InvalidArgument, match=r"client\.cert cannot be used: No such file"):
            failing(one.host, settings)
        (folder / "client.key").write_bytes((authority / "client.key").read_bytes())
        with repository(one.host, settings) as here:
            assert here.head("1")
        (folder / "lab.crt").write_text("no certificate")
        with pytest.raises(InvalidArgument, match=r"lab\.crt cannot be used: it is no certificate in PEM form"):
            failing(one.host, settings)


def test_insecure_means_any_certificate(nobody: Path, authority: Path) -> None:
    with lying_registry(authority) as one:
        one.serve("a/b", "1", IMAGE)
        for options in ({}, {"tls_verify": False}):
            with repository(one.host, one.settings(), **options) as here:
                assert here.head("1")
                assert here.origin.base().startswith("https:")


def test_http_where_tls_was_asked_for(liar: Liar) -> None:
    error = failing(liar.host, liar.settings(), tls_verify=True)
    assert error.message == f"{liar.host} does not speak TLS"
    assert f'write [registry."{liar.host}"] and insecure = true' in error.hint


def test_tls_errors_in_words() -> None:
    error = failure.of_network(ssl.SSLError(1, "[SSL: X] tlsv13 alert certificate required"), "h", Settings())
    assert "no TLS connection with h" in error.message
    assert "client.cert" in error.hint


# Proxies


@pytest.mark.parametrize(
    "no_proxy, name, expected",
    [
        ("", "a.b", False), ("*", "a.b", True), ("a.b", "a.b", True), ("a.b", "x.a.b", True), (".a.b", "x.a.b", True),
        (".a.b", "a.b", True), ("*.a.b", "x.a.b", True), ("a.b", "xa.b", False), ("x, A.B ,y", "a.b", True),
        ("a.b:443", "a.b", True), ("a.b:444", "a.b", False), ("10.0.0.0/8", "10.1.2.3", True), ("10.1.2.3", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False), ("fd00::/8", "fd00::1", True), (",,", "a.b", False), ("10.0.0.0/99", "10.0.0.1", False),
    ],
)  # fmt: skip
def test_no_proxy(no_proxy: str, name: str, expected: bool) -> None:
    proxies = {"https": "http://proxy:3128", "no": no_proxy}
    assert transport.bypassed(no_proxy, name, 443) is expected
    assert (transport.proxy(proxies, "https", name, 443) is None) is expected


def test_loopback_needs_no_proxy() -> None:
    proxies = {"https": "http://proxy:3128"}
    assert [transport.proxy(proxies, "https", name, 1) for name in ("localhost", "127.0.0.1", "::1")] == [None] * 3
    assert transport.proxy({"https": "proxy:3128"}, "https", "a.b", 1).hostname == "proxy"  # type: ignore[union-attr]
    with pytest.raises(InvalidArgument, match="https_proxy is no http://HOST:PORT"):
        transport.proxy({"https": "socks5://me:secret@proxy:1"}, "https", "a.b", 1)


@pytest.mark.parametrize(
    "url", ["http://a b:80", "http://a\x1b:80", "http://\u00e9:80", "http://:80", ":::", "http://[::1"]
)
def test_a_proxy_that_is_no_address(url: str) -> None:
    with pytest.raises(InvalidArgument, match="https_proxy is no http://HOST:PORT"):
        transport.proxy({"https": url}, "https", "a.b", 1)


def test_http_through_a_proxy(liar: Liar) -> None:
    liar.say("GET", "http://registry.invalid:5000/v2/a/b/manifests/1", Said(404))
    proxies = {"http": f"http://me:se%40cret@{liar.host}"}
    settings = liar.settings(proxies=proxies, tries=1, registries=(Registry("registry.invalid:5000", insecure=True),))
    with repository("registry.invalid:5000", settings) as one:
        one.origin._base = "http://registry.invalid:5000"  # spare it the question for TLS
        assert one.head("1") is None
    (asked,) = liar.asked
    assert asked.path == "http://registry.invalid:5000/v2/a/b/manifests/1"
    assert asked.headers["host"] == "registry.invalid:5000"
    assert asked.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:se@cret").decode()


def test_https_through_a_proxy(nobody: Path, authority: Path) -> None:
    """CONNECT, with credentials for the proxy alone."""
    with lying_registry(authority) as one, socket.create_server(("127.0.0.1", 0)) as server:
        one.serve("a/b", "1", IMAGE)
        heads: list[bytes] = []

        def serve() -> None:
            here, _ = server.accept()
            heads.append(here.recv(65536))
            there = socket.create_connection(("127.0.0.1", int(one.host.partition(":")[2])))
            here.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_copy, args=(there, here), daemon=True).start()
            _copy(here, there)
            here.close()
            there.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        proxies = {"https": f"http://me:secret@127.0.0.1:{server.getsockname()[1]}"}
        settings = one.settings(proxies=proxies, registries=(Registry("registry.invalid", insecure=True),))
        with repository("registry.invalid", settings) as here:
            assert here.head("1")
        thread.join(5)
    head = heads[0].decode()
    assert head.startswith("CONNECT registry.invalid:443 HTTP/1.")
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:secret").decode() in head
    assert all("proxy-authorization" not in asked.headers for asked in one.asked)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_proxy_that_refuses_is_told_without_its_password(nobody: Path) -> None:
    with raw_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as host:
        error = failing("registry.invalid", Settings(proxies={"https": f"http://me:tulip-7@{host}"}, tries=1))
    assert "the proxy refuses a connection to registry.invalid: 407 Proxy Authentication Required" in error.message
    assert "https_proxy" in error.hint
    assert "tulip-7" not in str(error)


@pytest.mark.parametrize(
    "proxy", ["http://me:tulip-7@p:x", "http://me:tulip-7@p:99999", "ftp://me:tulip-7@p", "http://[::1"]
)
def test_a_proxy_that_cannot_be_is_told_without_its_password(proxy: str) -> None:
    with pytest.raises(InvalidArgument, match="https_proxy is no http://HOST:PORT") as caught:
        transport.proxy({"https": proxy}, "https", "registry.lab", 443)
    assert "tulip" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_told(nobody: Path) -> None:
    port = free_port()
    error = failing("registry.invalid", Settings(proxies={"https": f"http://me:tulip-7@127.0.0.1:{port}"}))
    assert f"the proxy 127.0.0.1:{port} refuses the connection" in error.message
    assert "tulip-7" not in str(error)


def test_patience_counts(liar: Liar) -> None:
    calls = []

    def do() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise RegistryError("x", retry=True)
        return 7

    one = transport.Transport(Settings(backoff=0.001), lambda host: True)
    assert patience.retried(one, do) == 7
    with pytest.raises(RegistryError):
        patience.retried(one, lambda: (_ for _ in ()).throw(RegistryError("y")))
