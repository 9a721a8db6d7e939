"""A virtual machine on a network of ours, as a container is: the same address, name and ports by the same code.

A network namespace is made and plugged in exactly as a container's. Then the guest takes the place of what is in it:
its interface becomes a port of a bridge in there and loses its addresses, which go to the guest together with its
hardware address; the guest's own cable is the other port:

    network's bridge ── veth ── [ interface ── vm-bridge ── vm-near ]── the guest's eth0     [ ] the namespace

QEMU has the end of a tap(4) device, user-mode-linux a packet(7) socket on the other end of a veth. The namespace keeps
one address for itself, where it answers the guest's questions for names; a neighbour the guest is told of, so that no
question for it ever leaves. Everything is gone with the keeper and the program that is the machine.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
import shlex
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, NoReturn

from nbcontainers.errors import HostNotCapable
from nbcontainers.linux import process
from nbcontainers.monitor import ending, leftovers, recipe
from nbcontainers.monitor.files import Files, replace
from nbcontainers.monitor.program import enter_mounts
from nbcontainers.network import forwarder, hosts, netlink, resolver, rtnetlink, state, store
from nbcontainers.network.namespace import Opened, sockets_in, switch_ipv6
from nbcontainers.runtime.middle import close_others
from nbcontainers.vm import initramfs
from nbcontainers.vm.hardware import UML
from nbcontainers.vm.network import SCRIPT

Arguments = dict[str, Any]

RESOLVER = "169.254.1.1"
_BRIDGE, _NEAR, _FAR = "vm-bridge", "vm-near", "vm-far"
_MTU = 1500
_TUN, _TUNSETIFF, _TAP = "/dev/net/tun", 0x400454CA, 0x0002 | 0x1000 | 0x4000
"""IFF_TAP, IFF_NO_PI, IFF_VNET_HDR: linux/if_tun.h."""
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17
_ALL_FRAMES = 3
_IGNORE_ALL = 8
_DAD = "/proc/sys/net/ipv6/conf/eth0/accept_dad"


class Wire:
    """`root`, `run`, `id`, `path` (the namespace), `kind`: the guest in the place of the namespace itself. `do` returns
    the descriptor of its cable, and the sockets at which names are asked for."""

    @staticmethod
    def do(args: Arguments) -> list[int]:
        files = Files(args["root"], args["run"], args["id"])
        (entry,) = state.read(files)["networks"].values()
        made = sockets_in(args["path"], lambda: _build(args["kind"], entry, _neighbour(args["id"])))
        return [os.dup(one.fileno()) for one in made]

    @staticmethod
    def undo(args: Arguments) -> None:
        """All of it goes with the namespace."""

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"ip -n {args['path']} link add {_BRIDGE} type bridge"


@contextmanager
def joined(plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan with `wires` (descriptors to inherit), `words` (for the command line) and `files` (an archive for the
    guest) of its network, which is there meanwhile; `found` is what it was given."""
    wanted = plan.get("network")
    if not wanted:
        yield {**plan}
        return
    files = Files(wanted["root"], wanted["run"], wanted["id"])
    enter_mounts()  # the namespace is held by a mount that nobody else sees
    sweep(files.root, files.run)
    _claim(files, wanted)
    kept: recipe.Kept = []
    names = 0
    try:
        kept = recipe.perform(wanted["steps"])
        made = state.read(files)
        ((network, entry),) = made["networks"].items()
        wire, *asked = next(descriptors for at, descriptors in kept if wanted["steps"][at]["step"].endswith(":Wire"))
        names = _answer_names(files, asked)
        yield {
            **plan, "wires": [wire], "words": words(plan["kind"], wire, entry["mac"]),
            "files": initramfs.archive([_script(files, network, wanted["settings"], made)]).hex(),
            "found": {"network": network, "addresses": entry["addresses"], "ports": made["ports"]},
        }  # fmt: skip
    finally:
        if names:
            os.kill(names, signal.SIGKILL)
            os.waitpid(names, 0)
        recipe.release(kept)
        ending.tidy(files, {}, wanted["steps"] if kept else [], remove=False)


def sweep(root: str, run: str) -> list[str]:
    """Undo what keepers left that were killed; the ids. `system prune` does the same."""
    gone = []
    for id in os.listdir(run):
        files = Files(root, run, id)
        if os.path.exists(f"{files.state}/recipe.json") and not files.monitor_alive():
            leftovers.tidy(files)
            gone.append(id)
    return gone


def _claim(files: Files, wanted: Mapping[str, Any]) -> None:
    """The run folder, at once with the records by which it is known whose it is."""
    made = f"{files.run}/.{files.id}.{os.getpid()}.claim"
    os.mkdir(made, 0o700)
    pid = os.getpid()
    replace(f"{made}/monitor.json", {"pid": pid, "start_time": process.start_time(pid)})
    replace(f"{made}/container.json", dict(wanted["settings"]))
    replace(f"{made}/recipe.json", {"steps": wanted["steps"]})
    os.rename(made, files.state)


def words(kind: str, wire: int, mac: str) -> list[str]:
    """Of the command line. No option ROM: QEMU's guest boots from no network."""
    if kind == UML:
        return [f"vec0:transport=fd,fd={wire},mac={mac}"]
    return ["-netdev", f"tap,id=net,fd={wire}", "-device", f"virtio-net-pci,netdev=net,mac={mac},romfile="]


# --- in the namespace ---------------------------------------------------------------------------------------------


def _build(kind: str, entry: Mapping[str, Any], mac: bytes) -> list[Opened]:
    """The bridge, its ports, and the namespace's own address; the guest's cable, and where names are asked for."""
    _empty(entry)
    first = next((one for one in entry["addresses"] if ":" not in one), "")
    with netlink.Socket() as link:
        link.request([rtnetlink.new_bridge(_BRIDGE, mac, _MTU)])
        master = rtnetlink.index(_BRIDGE)
        cable: Opened = _packets(link) if kind == UML else _tap()
        near, outer = rtnetlink.index(_NEAR), rtnetlink.index(entry["interface"])
        for name in (_BRIDGE, _NEAR):
            switch_ipv6(name, on=False)
        link.request([
            rtnetlink.plug_in(outer, master, _new_mac()),
            rtnetlink.learn_nothing(outer),  # the guest's own frames may come back there: see `publish.lead`
            rtnetlink.plug_in(near, master, _new_mac()), rtnetlink.set_up(near), rtnetlink.set_up(master),
            *([rtnetlink.new_peer(master, RESOLVER, first)] if first else ()),
        ])  # fmt: skip
    if not first:
        return [cable]
    _answer_nobody()
    return [cable, *resolver.listeners(RESOLVER)]


def _empty(entry: Mapping[str, Any]) -> None:
    """Take the addresses off; the routes go with them."""
    switch_ipv6(entry["interface"], on=False)
    index = rtnetlink.index(entry["interface"])
    with netlink.Socket() as link:
        found = [*entry["addresses"], *entry["link_local"]]
        link.request([rtnetlink.delete_address(index, IPv4Address(one)) for one in found if ":" not in one])


def _neighbour(id: str) -> bytes:
    """The hardware address at which the guest finds the namespace's own address."""
    return b"\x02" + bytes.fromhex(id[:10])


def _new_mac() -> bytes:
    """Locally administered, and nobody's: the guest has the one that others know."""
    return b"\x02" + os.urandom(5)


def _tap() -> Opened:
    try:
        tap = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostNotCapable(
            f"QEMU reaches a network by {_TUN}, which cannot be opened here: {error.strerror}",
            hint="take --kind uml, which needs none, or --network user: an address of its own behind the host's",
            errno=error.errno,
        ) from None
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", _NEAR.encode(), _TAP))
    return io.FileIO(tap, "r+")


def _packets(link: netlink.Socket) -> socket.socket:
    """A veth, and at its far end what takes and gives whole frames."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        link.request([rtnetlink.new_veth(rtnetlink.Veth(_NEAR, _FAR, _new_mac(), _MTU, 0, here))])
    finally:
        os.close(here)
    switch_ipv6(_FAR, on=False)
    _whole_frames(_NEAR)
    link.request([rtnetlink.set_up(rtnetlink.index(_FAR))])
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ALL_FRAMES))
    one.bind((_FAR, _ALL_FRAMES))
    return one


def _whole_frames(name: str) -> None:
    """No frame leaves there without its checksum, nor longer than the wire takes: the guest could not read it
    (`ethtool -K NAME tx off`)."""
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as inet:
        fcntl.ioctl(inet, _SIOCETHTOOL, struct.pack("16sP16x", name.encode(), ctypes.addressof(value)))


def _answer_nobody() -> None:
    """Who asks the wire for our own address gets no answer: ip-sysctl.rst, arp_ignore."""
    try:
        with open(f"/proc/sys/net/ipv4/conf/{_BRIDGE}/arp_ignore", "w") as file:
            file.write(str(_IGNORE_ALL))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EROFS):  # inside another engine's container
            raise


# --- for the guest ------------------------------------------------------------------------------------------------


def _script(files: Files, network: str, settings: Mapping[str, Any], made: Mapping[str, Any]) -> initramfs.Entry:
    """What its init does, in sh(1)."""
    entry = made["networks"][network]
    subnets = [ip_network(one["subnet"]) for one in store.read(files.root, network)["subnets"]]
    asks = any(":" not in one for one in entry["addresses"])
    lines = ["[ -e /sys/class/net/vec0 ] && ip link set vec0 name eth0", "ip link set eth0 up || return 1"]
    lines.insert(1, f"[ -e {_DAD} ] && echo 0 >{_DAD}")  # we give each address to one only
    for address in entry["addresses"]:
        size = next(one.prefixlen for one in subnets if ip_address(address) in one)
        lines.append(f"ip addr add {address}/{size} dev eth0 || return 1")
    lines += [f"ip addr add {one}/{16 if '.' in one else 64} dev eth0 || return 1" for one in entry["link_local"]]
    lines += [f"ip route add default via {one} dev eth0 || return 1" for one in entry["gateways"]]
    resolv_conf = hosts.resolv_conf(dict(settings), own_resolver=asks).replace(hosts.RESOLVER, RESOLVER)
    if asks:
        lines += [
            f"ip route add {RESOLVER} dev eth0",
            f"busybox arp -s {RESOLVER} {_neighbour(files.id).hex(':')} -i eth0",
        ]
    for path, text in (("hosts", hosts.text(dict(settings), made["networks"])), ("resolv.conf", resolv_conf)):
        lines += [f"busybox rm -f /root/etc/{path}", f"printf %s {shlex.quote(text)} >/root/etc/{path}"]
    return initramfs.Entry(SCRIPT, 0o100644, ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))


# --- names --------------------------------------------------------------------------------------------------------


class Turning(forwarder.Loop):
    """The event loop of a resolver, as that of a monitor."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self.quiet_since = 0.0

    def run(self) -> NoReturn:
        while True:
            due = min((at for at, _ in self.timers.values()), default=None)
            self.turn(-1 if due is None else max(0.0, due - time.monotonic()))
            for name, (at, function) in list(self.timers.items()):
                if at <= time.monotonic():
                    del self.timers[name]
                    function()


def _answer_names(files: Files, asked: list[int]) -> int:
    """In a child that dies with us; its pid, 0 where nobody asks."""
    if not asked:
        return 0
    pid = os.fork()
    if pid == 0:
        try:
            process.set_pdeathsig(signal.SIGKILL)
            close_others(set(asked))
            loop = Turning()
            resolver.Server(files, asked, loop)
            loop.run()
        finally:
            os._exit(1)
    return pid
