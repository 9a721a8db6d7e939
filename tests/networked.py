"""A host of one's own: the whole engine in a network namespace that the test made, and a second machine on its wire.

The calling thread enters the namespace, and with it everything it starts from then on: the launcher, its monitors,
the programs of the test. No packet can leave it, for it has no way out but the cable to the second machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbcontainers import container
from nbcontainers.container.container import Container
from nbcontainers.linux import namespaces
from tests import host, peers
from tests.monitored import wait_for

#: The host's own, which the image `host` has at that place too.
PYTHON = "/usr/bin/python3"

#: TEST-NET-3 (RFC 5737): nobody's, here or anywhere.
HOST, MACHINE, SUBNET = "203.0.113.1", "203.0.113.2", "203.0.113.0/24"
_PATIENCE_S = 5.0

#: Says who it is to everybody: one line `NAME ADDRESS-OF-THE-CLIENT`, over TCP (`serve`) or UDP (`echo`).
SERVE = """
import socket, sys
family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
server = socket.create_server(("", int(sys.argv[1])), family=family, dualstack_ipv6=family == socket.AF_INET6)
print("ready", flush=True)
while True:
    connection, address = server.accept()
    with connection:
        connection.sendall((sys.argv[2] + " " + address[0].removeprefix("::ffff:") + "\\n").encode())
"""
ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, address = server.recvfrom(100)
    server.sendto((sys.argv[2] + " " + address[0] + "\\n").encode(), address)
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 3) as connection:
    print(connection.makefile().readline(), end="")
"""
ASK_UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(3)
    client.sendto(b"who", (sys.argv[1], int(sys.argv[2])))
    print(client.recv(100).decode(), end="")
"""


class Machine:
    """The second machine: a namespace joined to ours by a cable."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "900"])
        deadline = time.monotonic() + _PATIENCE_S
        while self._namespace() == os.readlink("/proc/thread-self/ns/net"):
            assert time.monotonic() < deadline, "the second machine did not start"
            time.sleep(0.005)
        ip(f"link add wire type veth peer name wire netns {self.process.pid}")
        ip(f"address add {HOST}/24 dev wire")
        ip("link set wire up")
        for words in ("link set lo up", f"address add {MACHINE}/24 dev wire", "link set wire up"):
            self.run(peers.program("ip"), *words.split())

    def _namespace(self) -> str:
        try:
            return os.readlink(f"/proc/{self.process.pid}/ns/net")
        except FileNotFoundError:
            return ""

    def run(self, *words: str) -> str:
        """A program on it, to its end; what it wrote."""
        return output(["nsenter", "-t", str(self.process.pid), "-n", *words])

    def ask(self, address: str, port: int, *, udp: bool = False) -> str:
        """What a server says to it: `NAME CLIENT`."""
        return self.run(sys.executable, "-c", ASK_UDP if udp else ASK, address, str(port)).strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def output(words: Sequence[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(words[:6])} … ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def ip(words: str) -> str:
    return output([peers.program("ip"), *words.split()])


def nft(words: str) -> str:
    return output([peers.program("nft"), *words.split()])


def ask(address: str, port: int, *, udp: bool = False, timeout: float = 3.0) -> str:
    """What a server says to us."""
    if udp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.sendto(b"who", (address, port))
            return client.recv(100).decode().strip()
    with socket.create_connection((address, port), timeout) as connection:
        return connection.makefile().readline().strip()


@contextmanager
def own_host() -> Iterator[None]:
    """The calling thread, and what it starts, in a network namespace of its own with nothing but a loopback."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        ip("link set lo up")
        yield
    finally:
        namespaces.setns(before, namespaces.CLONE_NEWNET)
        os.close(before)


def links() -> set[str]:
    """The interfaces of the namespace we are in."""
    return {name for _, name in socket.if_nameindex()}


def traces() -> set[str]:
    """What networks leave in the kernel: our interfaces and our table."""
    return {name for name in links() if name.startswith("nbc")} | host.nftables()


def settled(wanted: set[str], seconds: float = _PATIENCE_S) -> set[str]:
    """The traces, once they are as wanted: a namespace that dies takes its cables along a moment later."""
    deadline = time.monotonic() + seconds
    while (found := traces()) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def serve(name: str, port: int = 80, program: str = SERVE, **options: Any) -> Container:
    """A container that says `NAME CLIENT` to everybody who connects."""
    made = container.run("host", PYTHON, "-c", program, str(port), name, name=name, detach=True, **options)
    wait_for(lambda: b"ready" in bytes(Path(made.engine.containers, made.id, "log").read_bytes()))
    return made


def client(program: str, *words: object, **options: Any) -> str:
    """What a Python program writes in a container that goes again."""
    heard: list[bytes] = []
    container.run("host", PYTHON, "-c", program, *map(str, words), rm=True, stdout=heard.append, **options)
    return b"".join(heard).decode().strip()


def sh(line: str, image: str = "mini", **options: Any) -> str:
    heard: list[bytes] = []
    container.run(image, "sh", "-c", line, rm=True, stdout=heard.append, **options)
    return b"".join(heard).decode()
