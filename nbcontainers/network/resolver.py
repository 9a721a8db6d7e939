"""The resolver of one container: the names on its networks from the leases, everything else from the host's servers.

It listens on 127.0.0.11 in the container's network namespace and is a part of the monitor's event loop, so there is
no daemon, and it is gone when the container is. Answers are read from the disk when they are asked for.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Any, NamedTuple

from nbcontainers.monitor.files import Files
from nbcontainers.network import dns, hosts, ipam, state, store
from nbcontainers.network.namespace import sockets_in
from nbcontainers.network.relay import Relay

Arguments = dict[str, Any]

PORT = 53
_IN = select.EPOLLIN
_PATIENCE_S = 2.5
"""How long each of the host's name servers has to answer."""
_SETTLED_NS = 50_000_000
"""A folder that changed just now may change again within the same tick of the clock: it is read again."""
_MOST_PENDING, _MOST_CONNECTIONS = 256, 64
_LONGEST_S = 30.0


class Resolve:
    """`root`, `run`, `id`, `path` (the namespace). `do` returns the sockets (UDP, TCP) that `serve` answers on."""

    @staticmethod
    def do(args: Arguments) -> list[int]:
        return [one.detach() for one in sockets_in(args["path"], listeners)]

    @staticmethod
    def undo(args: Arguments) -> None:
        """The sockets go with the monitor."""

    @staticmethod
    def serve(args: Arguments, descriptors: list[int], watch: Any) -> list[int]:
        """Answer from now on; returns the descriptors at which a sleeping monitor wakes."""
        Server(Files(args["root"], args["run"], args["id"]), descriptors, watch)
        return descriptors

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"ip netns exec {args['path']} answer DNS on {hosts.RESOLVER}:{PORT}"


def listeners(address: str = hosts.RESOLVER) -> list[socket.socket]:
    """UDP and TCP, in our network namespace."""
    return [_bound(address, socket.SOCK_DGRAM), _bound(address, socket.SOCK_STREAM)]


def _bound(address: str, kind: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((address, PORT))
    if kind == socket.SOCK_STREAM:
        one.listen(16)
    return one


class Pending(NamedTuple):
    """A query that was passed on: who asked, what, which servers are left to ask, until when this one may answer."""

    client: Any
    packet: bytes
    servers: list[str]
    due: float


class Server:
    """UDP and TCP. Nothing here ever waits."""

    def __init__(self, files: Files, descriptors: list[int], watch: Any) -> None:
        self.files, self.watch = files, watch
        self.udp, self.tcp = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        self.names = Names(files)
        self.pending: dict[socket.socket, Pending] = {}
        self.connections: dict[socket.socket, float] = {}
        watch.add(self.udp.fileno(), _IN, self._query)
        watch.add(self.tcp.fileno(), _IN, self._connection)

    # -- UDP -------------------------------------------------------------------------------------------------------

    def _query(self, _: int) -> None:
        for _ in range(32):
            try:
                packet, client = self.udp.recvfrom(1 << 16)
            except OSError:
                return
            self.watch.quiet_since = time.monotonic()
            try:
                query = dns.parse(packet)
            except dns.Malformed:
                continue
            if found := self.names.answer(query):
                self._reply(found, client)
            else:
                self._ask(Pending(client, packet, self.names.servers(), 0.0))

    def _reply(self, packet: bytes, client: Any) -> None:
        try:
            self.udp.sendto(packet, client)
        except OSError:  # nobody waits for it any more
            return

    def _ask(self, one: Pending) -> None:
        """Pass a query on to the next server; with none left, say so."""
        if not one.servers or len(self.pending) >= _MOST_PENDING:
            self._reply(dns.answer(dns.parse(one.packet), (), dns.SERVFAIL), one.client)
            return
        server, *rest = one.servers
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        upstream = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            upstream.connect((server, PORT))  # of all others the kernel takes nothing
            upstream.send(one.packet)
        except OSError:
            upstream.close()
            self._ask(one._replace(servers=rest))
            return
        self.pending[upstream] = one._replace(servers=rest, due=time.monotonic() + _PATIENCE_S)
        self.watch.add(upstream.fileno(), _IN, lambda _: self._answered(upstream))
        self._arm()

    def _answered(self, upstream: socket.socket) -> None:
        one = self.pending[upstream]
        try:
            packet = upstream.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:  # ECONNREFUSED: nobody listens there
            self._forget(upstream)
            self._ask(one)
            return
        ours = packet[:2] == one.packet[:2] and dns.question(packet) == dns.question(one.packet)
        if dns.is_response(packet) and ours:
            self._forget(upstream)
            self._reply(packet, one.client)

    def _forget(self, upstream: socket.socket) -> None:
        del self.pending[upstream]
        self.watch.remove(upstream.fileno())
        upstream.close()

    def _arm(self) -> None:
        due = [one.due for one in self.pending.values()] + list(self.connections.values())
        if due:
            self.watch.timers["resolver"] = (min(due), self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        for upstream, one in list(self.pending.items()):
            if one.due <= now:
                self._forget(upstream)
                self._ask(one)
        for connection, due in list(self.connections.items()):
            if due <= now:
                self._hang_up(connection)
        self._arm()

    # -- TCP -------------------------------------------------------------------------------------------------------

    def _connection(self, _: int) -> None:
        try:
            connection, _address = self.tcp.accept()
        except OSError:
            return
        self.watch.quiet_since = time.monotonic()
        if len(self.connections) >= _MOST_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        buffer = bytearray()
        self.connections[connection] = time.monotonic() + _LONGEST_S
        self.watch.add(connection.fileno(), _IN, lambda _: self._read(connection, buffer))
        self._arm()

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        """Whole queries, each after its length in two bytes (RFC 1035, 4.2.2)."""
        try:
            data = connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer += data
        try:
            while len(buffer) >= 2 and len(buffer) >= (size := 2 + int.from_bytes(buffer[:2], "big")):
                found = self.names.answer(dns.parse(bytes(buffer[2:size])), largest=0xFFFF)
                if not found:
                    self._join(connection, bytes(buffer))
                    return
                connection.send(len(found).to_bytes(2, "big") + found)
                del buffer[:size]
        except (dns.Malformed, OSError):
            data = b""
        if not data:
            self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        if self.connections.pop(connection, None) is not None:
            self.watch.remove(connection.fileno())
            connection.close()

    def _join(self, connection: socket.socket, begun: bytes) -> None:
        """Connect the asker with a server of the host's from here on."""
        servers = self.names.servers()
        if not servers:
            self._hang_up(connection)
            return
        del self.connections[connection]
        self.watch.remove(connection.fileno())
        family = socket.AF_INET6 if ":" in servers[0] else socket.AF_INET
        upstream = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        upstream.connect_ex((servers[0], PORT))
        relay = Relay(self.watch, connection, upstream, lambda: None)
        relay.waiting[upstream] += begun
        relay.renew()


class Names:
    """What the leases on the container's networks say."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.known: dict[str, tuple[int, dict[str, ipam.Lease]]] = {}

    def servers(self) -> list[str]:
        """Who is asked for other names: nobody for a container that has no way outside, unless --dns names one."""
        settings = self._settings()
        outward = any(one["gateways"] for one in self._networks().values())
        return hosts.upstream(settings) if outward or settings.get("dns") else []

    def answer(self, query: dns.Query, largest: int = dns.LARGEST) -> bytes | None:
        """The response to a query of ours; None where it is to be passed on."""
        if query.kind == dns.PTR and (address := dns.reverse(query.name)):
            found = self.name_of(address)
            return dns.answer(query, [dns.pointer(found)], largest=largest) if found else None
        addresses = self.addresses(query.name)
        if not addresses:
            return None if self.servers() else dns.answer(query, (), dns.NXDOMAIN, largest)
        records = dns.addresses(addresses, query.kind) if query.kind in (dns.A, dns.AAAA) else []
        turn = query.id % len(records) if records else 0  # several containers of one alias take turns
        return dns.answer(query, records[turn:] + records[:turn], largest=largest)

    def addresses(self, name: str) -> list[str]:
        """Of the containers of that name, on the first network that has one; NAME.NETWORK asks one network."""
        for network, leases in self._leases().items():
            short = name.removesuffix(f".{network.lower()}")
            having = (address for address, lease in leases.items() if short in lease.get("names", ()))
            if found := [address for address in having if self._lives(leases[address])]:
                return sorted(found)
        return []

    def name_of(self, address: str) -> str:
        for network, leases in self._leases().items():
            lease = leases.get(address)
            if lease and lease.get("names") and self._lives(lease):
                return f"{lease['names'][0]}.{network}"
        return ""

    def _lives(self, lease: ipam.Lease) -> bool:
        return Files(self.files.root, self.files.run, lease["container"]).monitor_alive()

    def _leases(self) -> dict[str, dict[str, ipam.Lease]]:
        """By network, in the order in which the container joined them; read again only when a folder has changed."""
        found = {}
        for name in self._networks():
            try:
                changed = os.stat(f"{store.folder(self.files.root, name)}/leases").st_mtime_ns
            except FileNotFoundError:
                continue
            before, leases = self.known.get(name, (0, {}))
            if changed != before:
                leases = ipam.leases(self.files.root, name)
                if time.time_ns() - changed > _SETTLED_NS:
                    self.known[name] = (changed, leases)
            found[name] = leases
        return found

    def _networks(self) -> dict[str, Any]:
        return dict(state.read(self.files)["networks"])

    def _settings(self) -> dict[str, Any]:
        return self.files.read("container.json")
