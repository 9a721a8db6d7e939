"""Registries to test against: Debian's docker-registry in three forms, and a lying one of our own.

with docker_registry(folder) as registry:                       # plain http on loopback
with docker_registry(folder, users=True) as registry:           # basic auth: USER, PASSWORD
with docker_registry(folder, tls=True) as registry:             # https by registry.ca, a CA of its own
registry.host                                                   # 127.0.0.1:PORT (localhost:PORT with TLS)
registry.settings(stall_timeout=1)                              # Settings that trust it
fill(registry, "some/name:tag", layers=[b"tar", …])             # an image by direct requests; its manifest

with lying_registry() as liar:                                  # see Liar
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nbcontainers.oci.image import LAYER, MANIFEST, encode
from nbcontainers.registry.settings import Registry, Settings
from tests import peers

USER, PASSWORD = "tester", "secret-word"
HTPASSWD = "tester:$2y$04$abcdefghijklmnopqrstuujV0zJ3tj1V5vPQQ5i8Bd/sbbeTbZTaC\n"
"""bcrypt (cost 4) of PASSWORD, as `htpasswd -B` writes it."""
CONFIG = "application/vnd.oci.image.config.v1+json"
QUICK: dict[str, Any] = {"connect_timeout": 5.0, "stall_timeout": 5.0, "backoff": 0.01}


@dataclass(frozen=True)
class DockerRegistry:
    """A running docker-registry. `ca` is the file of its CA, "" without TLS; `users` whether it wants USER."""

    host: str
    folder: Path
    ca: str = ""
    users: bool = False

    def settings(self, **changes: Any) -> Settings:
        """Settings that reach it, in a hurry."""
        registries = (Registry(self.host, ca=self.ca),) if self.ca else ()
        return Settings(**{**QUICK, "registries": registries, **changes})

    def toml(self) -> str:
        """The same as a settings file."""
        return f'[registry."{self.host}"]\nca = "{self.ca}"\n' if self.ca else ""

    def connection(self) -> http.client.HTTPConnection:
        """A connection of the standard library, to look behind our client's back."""
        if self.ca:
            return http.client.HTTPSConnection(
                self.host, context=ssl.create_default_context(cafile=self.ca), timeout=20
            )
        return http.client.HTTPConnection(self.host, timeout=20)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of a request as USER."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        with contextlib.closing(self.connection()) as connection:
            ours = {"Authorization": f"Basic {login}"} if self.users else {}
            connection.request(method, path, body, {**ours, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()


@contextlib.contextmanager
def docker_registry(folder: Path, *, users: bool = False, tls: bool = False) -> Generator[DockerRegistry]:
    """Debian's docker-registry on a free port of loopback, its storage below `folder`; ended by its pid."""
    program = peers.program("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    ca = certificates(folder / "tls") if tls else ""
    for _ in range(5):  # another process may take the port between our look and its bind
        port = free_port()
        config = folder / "config.yml"
        config.write_text(json.dumps(_config(folder, port, users=users, tls=tls)))  # YAML is more than JSON
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [program, "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}, start_new_session=True,
            )  # fmt: skip
        try:
            if _listens(process, port):
                host = f"localhost:{port}" if tls else f"127.0.0.1:{port}"
                yield DockerRegistry(host, folder, str(ca) if ca else "", users)
                return
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    raise AssertionError(f"docker-registry does not start: {(folder / 'log').read_text()[-2000:]}")


def _config(folder: Path, port: int, *, users: bool, tls: bool) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "a-secret"}
    if tls:
        http["tls"] = {"certificate": str(folder / "tls/server.pem"), "key": str(folder / "tls/server.key")}
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
        "http": http,
    }
    if users:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "the test registry", "path": str(folder / "htpasswd")}}
    return config


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 20
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        assert time.monotonic() < deadline, "docker-registry does not listen"
        time.sleep(0.02)
    return False


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def certificates(folder: Path) -> Path:
    """A CA, a server's certificate for localhost and 127.0.0.1, a client's; returns the CA's file (PEM)."""
    openssl = peers.program("openssl")
    folder.mkdir(parents=True, exist_ok=True)

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=the test CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    for name in ("server", "client"):
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extensions").write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nkeyUsage=digitalSignature\nauthorityKeyIdentifier=keyid\n"
        )
        run(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "30", "-extfile", "extensions",
        )  # fmt: skip
    return folder / "ca.pem"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image_of(
    layers: Sequence[bytes], media_type: str = LAYER, diff_ids: Sequence[str] = (), *, architecture: str = "amd64"
) -> dict[str, bytes]:
    """The blobs of an image by digest, its manifest last."""
    config = encode(
        {
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids) or [digest_of(layer) for layer in layers]},
        }
    )  # fmt: skip
    manifest = encode(
        {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": media_type, "digest": digest_of(one), "size": len(one)} for one in layers],
        }
    )  # fmt: skip
    return {digest_of(one): one for one in (*layers, config, manifest)}


def fill(
    registry: DockerRegistry,
    name: str,
    layers: Sequence[bytes],
    media_type: str = LAYER,
    *,
    architecture: str = "amd64",
) -> bytes:
    """Put an image of these layers (uncompressed tars, unless `media_type` says more) under PATH:TAG; its manifest."""
    path, _, tag = name.partition(":")
    *blobs, (_, manifest) = image_of(layers, media_type, architecture=architecture).items()
    for digest, content in blobs:
        _, headers, _ = registry.request("POST", f"/v2/{path}/blobs/uploads/")
        at = urlsplit(headers["Location"])
        octets = {"Content-Type": "application/octet-stream"}
        status, _, body = registry.request("PUT", f"{at.path}?{at.query}&digest={digest}", content, octets)
        assert status == 201, body
    status, _, body = registry.request("PUT", f"/v2/{path}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
    assert status == 201, body
    return manifest


@dataclass
class Asked:
    """A request that the liar got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Said:
    """What the liar answers.

    `length` is the Content-Length where it should not be true (-1: none is told); `cut` hangs up after so many bytes of
    the body; `drip` sends one byte each so many seconds; `stall` waits so long before the body and `before` before the
    answer; `raw` is sent instead of everything.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    cut: int | None = None
    drip: float = 0.0
    stall: float = 0.0
    before: float = 0.0
    endless: bool = False
    raw: bytes | None = None


Script = Said | Callable[[Asked], Said] | Sequence[Said]


class Liar:
    """A registry that answers what it is told to.

    `say("GET", "/v2/a/tags/list", Said(…))`; a function of the request may stand for it, and a list for one answer
    after another (the last one again and again). Paths are without their query; "*" is any method or the end of any
    path. What is not scripted is 404. `asked` holds all requests.
    """

    def __init__(self) -> None:
        self.scripts: dict[tuple[str, str], Script] = {}
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self.host = ""

    def say(self, method: str, path: str, script: Script) -> None:
        self.scripts[method, path] = list(script) if isinstance(script, (list, tuple)) else script

    def serve(self, path: str, name: str, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        """An image (see image_of) honestly; the manifest as a dict."""
        *_, (digest, manifest) = blobs.items()
        for one, content in blobs.items():
            self.say("*", f"/v2/{path}/blobs/{one}", Said(body=content))
        for tag in (name, digest):
            headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": digest}
            self.say("*", f"/v2/{path}/manifests/{tag}", Said(body=manifest, headers=headers))
        return dict(json.loads(manifest))

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        path = asked.path.partition("?")[0]
        keys = [(method, place) for place in _places(path) for method in (asked.method, "*")]
        script = next((self.scripts[key] for key in keys if key in self.scripts), Said(404))
        if callable(script):
            return script(asked)
        if isinstance(script, Said):
            return script
        assert isinstance(script, list)
        said: Said = script.pop(0) if len(script) > 1 else script[0]
        return said

    def settings(self, **changes: Any) -> Settings:
        return Settings(**{**QUICK, "stall_timeout": 0.5, "connect_timeout": 2.0, **changes})

    def paths(self, method: str) -> list[str]:
        """What was asked for by a method, in order."""
        return [one.path for one in self.asked if one.method == method]


def _places(path: str) -> Iterable[str]:
    yield path
    parts = path.split("/")
    for count in range(len(parts) - 1, 0, -1):
        yield "/".join(parts[:count]) + "/*"


@contextlib.contextmanager
def lying_registry(tls: Path | None = None, *, client_ca: bool = False) -> Generator[Liar]:
    """A Liar on loopback; with `tls` (a folder of `certificates`) by https, with `client_ca` for known clients only."""
    liar = Liar()
    server = _Server(("127.0.0.1", 0), _handler(liar))
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls / "ca.pem")
        server.context = context
    liar.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
    thread.start()
    try:
        yield liar
    finally:
        liar.stopping.set()
        server.shutdown()
        server.hang_up()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128
    context: ssl.SSLContext | None = None

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake belongs to the connection's own thread."""
        self.open.add(request)
        try:
            if self.context:
                request.settimeout(5)
                request = self.context.wrap_socket(request, server_side=True)
                self.open.add(request)
                request.settimeout(None)
            super().finish_request(request, client_address)
        except OSError:
            pass  # hung up by the client, or by `hang_up`

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(__import__("sys").exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        for one in list(self.open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _handler(liar: Liar) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes, and the second would wait 40 ms

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = liar.answer(Asked(self.command, self.path, headers, body))
            liar.stopping.wait(said.before)
            if said.raw is not None:
                self.wfile.write(said.raw)
                self.close_connection = True
                return
            self.send_response(said.status)
            for name, value in said.headers.items():
                for one in value.split("\n"):
                    self.send_header(name, one)
            length = len(said.body) if said.length is None else said.length
            if length >= 0 and not said.endless:
                self.send_header("Content-Length", str(length))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD" and said.status not in (204, 304):
                self.send_body(said)

        def send_body(self, said: Said) -> None:
            liar.stopping.wait(said.stall)
            content = said.body if said.cut is None else said.body[: said.cut]
            while said.endless and not liar.stopping.is_set():
                self.wfile.write(content or b"x" * 65536)
            if said.drip:
                for position in range(len(content)):
                    self.wfile.write(content[position : position + 1])
                    if liar.stopping.wait(said.drip):
                        break
            elif not said.endless:
                self.wfile.write(content)
            if said.cut is not None or said.length is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = do_any

        def log_message(self, *words: Any) -> None:
            pass

    return Handler
