"""Virtual machines without one: kernels found, modules in order, the initramfs, the request, times, messages, plans."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument, InvalidState, NameInUse, NotFound
from nbcontainers.linux import flock
from nbcontainers.vm import (
    boot,
    choice,
    disk,
    fetching,
    finding,
    hardware,
    initramfs,
    kernel,
    listing,
    modules,
    network,
    options,
    places,
    registers,
    running,
    shares,
    sweeping,
    unpacking,
)
from nbcontainers.vm.kernel import Kernel
from nbcontainers.vm.lanes import Lane
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.places import Places
from nbcontainers.vm.request import Command, Process, Request, Root
from nbcontainers.vm.writing import Writing

RELEASE = "6.1.0-99-cloud-amd64"


def bzimage(release: str = RELEASE) -> bytes:
    """As much of one as says what it is."""
    head = bytearray(0x4000)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x3000 - 0x200).to_bytes(2, "little")
    text = f"{release} (debian) #1 SMP\0".encode()
    head[0x3000 : 0x3000 + len(text)] = text
    return bytes(head)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """lib/modules/RELEASE: `a` needs `b-c` and `d`, which is built in; `b-c` needs `e`."""
    folder = tmp_path / "lib/modules" / RELEASE
    (folder / "kernel/drivers").mkdir(parents=True)
    (folder / "modules.builtin").write_text("kernel/fs/d.ko\nkernel/fs/ext4.ko\n")
    (folder / "kernel/drivers/a.ko").write_bytes(b"..\0depends=b-c,d\0license=GPL\0")
    (folder / "kernel/drivers/b-c.ko.xz").write_bytes(lzma.compress(b"..\0depends=e\0"))
    (folder / "kernel/drivers/e.ko.gz").write_bytes(gzip.compress(b"..\0depends=\0"))
    return folder


def test_modules_come_after_what_they_need(tree: Path) -> None:
    found = modules.in_order(tree, ["ext4", "a", "e"])
    assert [path.name for path in found] == ["e.ko.gz", "b-c.ko.xz", "a.ko"]
    assert modules.content(found[1]) == b"..\0depends=e\0"
    assert [initramfs.name_of(path) for path in found] == ["e.ko", "b-c.ko", "a.ko"]


def test_a_module_that_is_nowhere_is_said(tree: Path) -> None:
    with pytest.raises(HostNotCapable, match=f"the kernel {RELEASE} has no module virtiofs") as caught:
        modules.in_order(tree, ["virtiofs"])
    assert "vm fetch-kernel" in caught.value.hint
    assert modules.has(tree, "ext4")
    assert not modules.has(tree, "9p")


def test_a_kernel_says_its_release_and_its_modules_are_found(tree: Path, tmp_path: Path, engine_of: Engine) -> None:
    (tmp_path / "boot").mkdir()
    path = tmp_path / "boot/vmlinuz"
    path.write_bytes(bzimage())
    found = kernel.find(engine_of, uml=False, given=str(path))
    assert (found.release, found.modules, found.origin) == (RELEASE, tree, "given")


@pytest.fixture
def engine_of(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "e/root", tmp_path / "e/run", False).prepare()


def test_what_is_no_kernel_is_refused(tmp_path: Path, engine_of: Engine) -> None:
    (tmp_path / "x").write_bytes(b"\x7fELF" + b"\0" * 4096)
    with pytest.raises(InvalidArgument, match="no kernel that boots"):
        kernel.find(engine_of, uml=False, given=str(tmp_path / "x"))
    assert kernel.kinds_of(tmp_path / "x") == ("uml",)
    (tmp_path / "z").write_bytes(bzimage())
    assert kernel.kinds_of(tmp_path / "z") == ("kvm", "tcg")
    with pytest.raises(InvalidArgument, match="is no program, as user-mode-linux is one"):
        kernel.find(engine_of, uml=True, given=str(tmp_path / "z"))
    with pytest.raises(InvalidArgument, match="there is no such file"):
        kernel.find(engine_of, uml=False, given=str(tmp_path / "y"))


def test_a_kernel_that_is_cut_short_and_a_program_that_is_none(tmp_path: Path, engine_of: Engine) -> None:
    whole = bytearray(bzimage())
    whole[0x1F4:0x1F8] = (1 << 20).to_bytes(4, "little")
    (tmp_path / "z").write_bytes(whole)
    with pytest.raises(InvalidArgument, match=r"z is cut short: 16384 of its \d+ bytes are there"):
        kernel.find(engine_of, uml=False, given=str(tmp_path / "z"))
    with pytest.raises(InvalidArgument, match="true is no kernel of user-mode-linux"):
        kernel.find(engine_of, uml=True, given=shutil.which("true") or "")


def test_without_any_kernel_the_error_says_what_to_type(engine_of: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_of_the_host", lambda: iter(()))
    with pytest.raises(HostNotCapable, match="no kernel here") as caught:
        kernel.find(engine_of, uml=False)
    assert "vm fetch-kernel" in caught.value.hint
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(HostNotCapable) as caught:
        kernel.find(engine_of, uml=True)
    assert caught.value.hint == "apt-get install user-mode-linux"


def test_a_fetched_kernel_is_kept_with_its_modules(tree: Path, tmp_path: Path, engine_of: Engine) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/vmlinuz-{RELEASE}").write_bytes(bzimage())
    place = kernel.folder(engine_of)
    place.mkdir()
    assert fetching._keep(tmp_path, place) == RELEASE
    (found,) = kernel.fetched(engine_of)
    assert found.release == RELEASE
    assert found.modules
    assert modules.has(found.modules, "a")
    assert fetching.listing(engine_of).to_pandas()["release"].tolist() == [RELEASE]


def test_a_package_without_a_kernel_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no kernel in that package"):
        fetching._keep(tmp_path, tmp_path)
    with pytest.raises(InvalidArgument, match="is no name of a package"):
        fetching._download("; rm -rf x", tmp_path)


def test_a_package_that_is_none_or_cannot_be_had_leaves_nothing(
    tmp_path: Path, engine_of: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.deb").write_bytes(b"no package")
    with pytest.raises(HostNotCapable, match=r"x\.deb could not be unpacked") as caught:
        fetching.fetch(engine_of, "", str(tmp_path / "x.deb"))
    assert "name a linux-image-….deb that is whole" in caught.value.hint
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "apt-get").write_text("#!/bin/sh\necho E: Unable to locate package >&2\nexit 100\n")
    (bin / "apt-cache").write_text("#!/bin/sh\n")
    for path in bin.iterdir():
        path.chmod(0o755)
    monkeypatch.setattr(fetching, "program", lambda name, _: str(bin / name))
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    with pytest.raises(
        HostNotCapable, match="linux-image-cloud-amd64 could not be downloaded: E: Unable to locate"
    ) as caught:
        fetching.fetch(engine_of, "", "")
    assert "apt-get update" in caught.value.hint
    (bin / "apt-get").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(fetching, "_PATIENCE_S", 0.1)
    with pytest.raises(HostNotCapable, match="could not be downloaded within"):
        fetching._run([str(bin / "apt-get")], tmp_path, "it could not be downloaded", "")
    assert list(kernel.folder(engine_of).iterdir()) == []


def test_the_archive_is_what_cpio_reads(tmp_path: Path) -> None:
    cpio = shutil.which("cpio") or shutil.which("busybox")
    if not cpio:
        pytest.skip("there is no cpio here")
    entries = [
        initramfs.Entry("bin", 0o40755), initramfs.Entry("bin/odd", 0o100755, b"12345"),
        initramfs.Entry("bin/sh", 0o120777, b"odd"),
    ]  # fmt: skip
    words = [cpio, *(["cpio"] if cpio.endswith("busybox") else []), "-id"]
    for data in (initramfs.archive(entries), initramfs.archive([initramfs.Entry("request", 0o100600, b"x")])):
        assert len(data) % 4 == 0
        subprocess.run(words, input=data, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "bin/odd").read_bytes() == b"12345"
    assert os.readlink(tmp_path / "bin/sh") == "odd"
    assert (tmp_path / "bin/odd").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "request").read_bytes() == b"x"


HARD = 'a\'b "$HOME" `id` \\ \n ü; exit'


def command(**changes: Any) -> Command:
    process = Process(["printf", "%s|", HARD, ""], [f"X={HARD}"], "/made here", 5, 6, (), "box")
    return Command(process, **changes)


def test_the_request_is_read_by_a_shell_as_it_was_meant(tmp_path: Path) -> None:
    asked = Request(command(reads="yes", size=(30, 100)), Root("ext4", "/dev/vda", "rw"), "virtio", ["a.ko", "b.ko"])
    (tmp_path / "request").write_text(asked.script())
    (tmp_path / "session").write_text(asked.command.script("secret"))
    script = """
        setsid() { shift 13; "$@"; }; exec() { "$@"; }
        . ./request; echo "$TYPE $SOURCE $MODULES $HOSTNAME"; . ./session; echo "$TOKEN $READS $SIZE"; program 9>/dev/null
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == f"ext4 /dev/vda a.ko b.ko box\nsecret yes rows 30 cols 100\n{HARD}||", done.stderr


def test_a_command_enters_the_image_as_the_user() -> None:
    words = command()._words()
    assert words[:4] == ["setsid", "env", "-i", f"X={HARD}"]
    assert words[4:12] == ["/bin/nsenter", "-F", "-r/root", "-w/root/made here", "-G", "6", "-S", "5"]
    assert command(size=(24, 80))._words()[:2] == ["setsid", "-c"]
    assert "-S" not in Command(Process(["true"], []))._words()
    more = Command(Process(["true"], [], "/", 5, 6, (7, 8)))._words()
    assert more[3:8] == ["/bin/setpriv", "--regid", "6", "--groups", "7,8"]
    assert "-G" not in more


class Carried:
    """A lane whose ports are sockets, and what came out of it."""

    def __init__(self, *, terminal: bool = False) -> None:
        pairs = {kind: socket.socketpair() for kind in hardware.KINDS_OF_PORTS}
        self.guest = {kind: theirs for kind, (_, theirs) in pairs.items()}
        self.heard: list[tuple[str, bytes]] = []
        self.lane = Lane(
            1, {kind: ours for kind, (ours, _) in pairs.items()}, 100, lambda *said: self.heard.append(said)
        )
        for port in self.lane.ports.values():
            port.setblocking(False)
        self.lane.begin(None, "0123456789abcdef", reads=True, terminal=terminal)

    def says(self, kind: str, data: bytes) -> None:
        self.guest[kind].send(data)
        self.lane.read(kind)

    def close(self) -> None:
        for port in (*self.guest.values(), *self.lane.ports.values()):
            port.close()


@pytest.fixture
def carried() -> Iterator[Carried]:
    one = Carried()
    yield one
    one.close()


def test_output_ends_with_a_token_wherever_it_is_cut(carried: Carried) -> None:
    for piece in (b"x012345", b"6y0", b"123456789abcde", b"f"):
        carried.says("output", piece)
    assert b"".join(data for _, data in carried.heard) == b"x0123456y"
    carried.lane.ended(3)
    assert carried.lane.sources() != {}
    carried.says("errors", b"oops0123456789abcdef")
    assert carried.heard[-1] == ("stderr", b"oops")
    assert carried.lane.done
    assert carried.lane.sources() == {}


def test_output_that_ends_with_the_machine_is_whole(carried: Carried) -> None:
    carried.says("output", b"abc0123")
    carried.guest["output"].close()
    carried.lane.read("output")
    assert b"".join(data for _, data in carried.heard) == b"abc0123"


def sent(carried: Carried) -> bytes:
    """What goes to the guest now."""
    found = b""
    while port := carried.lane.sink():
        carried.lane.write(port)
        found += carried.guest["input"].recv(1 << 16)
    return found


def test_input_is_frames_that_are_asked_for_one_by_one(carried: Carried) -> None:
    carried.lane.take(b"x" * 150)
    assert sent(carried) == b""  # it has not started
    carried.lane.started = carried.lane.reading = True
    assert sent(carried) == b"100\n" + b"x" * 100
    assert sent(carried) == b""
    carried.lane.close_input()
    carried.lane.reading = True
    assert sent(carried) == b"50\n" + b"x" * 50
    carried.lane.reading = True
    assert sent(carried) == b"0\n"
    carried.lane.reading = True
    assert sent(carried) == b""


def test_input_comes_to_an_end_with_the_command(carried: Carried) -> None:
    carried.lane.started = True
    carried.lane.take(b"x")
    carried.lane.ended(0)
    carried.lane.take(b"more")
    carried.lane.reading = True
    assert sent(carried) == b"0\n"


def test_keys_for_a_terminal_are_as_they_are() -> None:
    one = Carried(terminal=True)
    one.lane.take(b"ls\r")
    one.lane.close_input()
    assert one.lane.input == b"ls\r\x04"
    one.says("terminal", b"file\r\n0123456789abcdef")
    assert one.heard == [("stdout", b"file\r\n")]
    one.lane.ended(0)
    assert one.lane.done
    assert not one.lane.input
    one.close()


def test_the_kernels_log_is_as_dmesg_has_it(tmp_path: Path) -> None:
    writing = Writing(str(tmp_path))
    assert writing.kernel(b"6,1,1234567,-;first; word\n SUBSYSTEM=pci\n4,2,99") == ["[    1.234567] first; word"]
    assert writing.kernel(b"000001,-;second\n") == ["[   99.000001] second"]
    writing.log("stdout", b"out\n")
    writing.close()
    assert (tmp_path / "console").read_text() == "[    1.234567] first; word\n[   99.000001] second\n"
    assert '"stream":"stdout"' in (tmp_path / "log").read_text()


def test_buses_of_qemu_have_all_ports_and_none_has_too_many() -> None:
    assert sorted(name for bus in hardware.BUSES for name in bus) == sorted(hardware.PORTS)
    for bus in hardware.BUSES:
        assert sum(5 if name.startswith("terminal") else 3 for name in bus) <= 32


@pytest.mark.skipif(not shutil.which("busybox"), reason="busybox is not here")
def test_the_guests_shell_can_read_its_init() -> None:
    subprocess.run(["busybox", "sh", "-n", str(initramfs.INIT)], check=True)


TIMES = {"begin": 100.0, "ready": 101.5, "started": 102.0, "exit": 105.0, "end": 105.25}
MARKS = [
    "[    1.200000] Run /init as init process", "[    1.250000] nbcontainers: init",
    "[    1.500000][    T1] nbcontainers: command", "[    4.500000] nbcontainers: end",
]  # fmt: skip


def test_a_boot_is_broken_down_by_the_guests_own_clock() -> None:
    found = boot.breakdown(TIMES, MARKS)
    expected = {"boot": 2.0, "firmware": 0.5, "kernel": 1.2, "init": 0.3, "command": 3.0, "shutdown": 0.25}
    assert found == pytest.approx(expected)


def test_what_was_not_measured_is_left_out() -> None:
    assert boot.breakdown({"begin": 1.0, "end": 2.0}, []) == {}
    assert boot.breakdown(TIMES, []).keys() == {"boot", "command", "shutdown"}


PLAN = {"kind": "tcg", "memory": 64 << 20, "boot_s": 60.0}


def test_why_no_command_came_to_an_end() -> None:
    little = boot.failed(PLAN, "", "Kernel panic - not syncing: System is deadlocked on memory\n", overdue=False)
    assert isinstance(little, InvalidArgument)
    assert "64 MiB are too little memory" in little.message
    assert "-m 128m" in little.hint
    late = boot.failed(PLAN, "", "", overdue=True)
    assert "(tcg) did not boot within 60 s; it said nothing" in late.message
    assert "--kind uml" in late.hint
    told = boot.failed(PLAN, "no working folder /x", "last words\n", overdue=False)
    assert "started no command: no working folder /x; it said last: last words" in told.message


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "uml", "kernel": "/k", "program": "/q", "memory": 64 << 20, "cpus": 2, "disk": "/d", "folder": "/f",
        "servers": [], **changes,
    }  # fmt: skip


_OPEN = list(range(4, 4 + len(hardware.PORTS)))


def test_the_command_line_of_user_mode_linux() -> None:
    words = hardware.command(plan(), 3, _OPEN, [])
    assert words[:3] == ["/k", "mem=64M", "initrd=/initrd"]
    assert {"ssl0=fd:4", "ssl3=fd:7", "ubd0=/own/cow,/image/disk"} <= set(words)
    assert "ubd0=/own/cow,/image/disk" not in hardware.command(plan(disk=""), 3, _OPEN, [])


def test_the_command_line_of_qemu() -> None:
    words = hardware.command(plan(kind="tcg"), 3, _OPEN, [])
    assert words[:5] == ["/q", "-M", "q35,accel=tcg", "-cpu", "max"]
    assert "socket,id=kernel,fd=5" in words
    assert "file=/d,if=none,id=root,format=raw,snapshot=on" in words
    assert "clocksource=hpet" in words[words.index("-append") + 1]
    fast = hardware.command(plan(kind="kvm"), 3, _OPEN, [])
    assert fast[3:5] == ["-cpu", "host"]
    shared = hardware.command(plan(kind="tcg", disk="", servers=[{"tag": "root"}]), 3, _OPEN, [80])
    assert "socket,id=root,fd=80" in shared
    assert "vhost-user-fs-pci,chardev=root,tag=root" in shared


def chosen(kind: str) -> choice.Choice:
    return choice.Choice(kind, "/q", Kernel(Path("/k"), RELEASE, None, "given"), "")


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="32 MiB are too little memory for a virtual machine") as caught:
        running.check_size(chosen("uml"), 32 << 20, 1)
    assert "-m 48m" in caught.value.hint
    with pytest.raises(InvalidArgument, match="user-mode-linux has one processor"):
        running.check_size(chosen("uml"), 64 << 20, 2)
    with pytest.raises(HostNotCapable, match="does not fit"):
        running.check_size(chosen("tcg"), 1 << 50, 1)
    with pytest.raises(InvalidArgument, match="whole processors"):
        running._limits({"cpus": 0.5})


def test_options_it_does_not_have_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="vm run has no option 'memmory'") as caught:
        options.check({"memmory": "1g"})
    assert caught.value.hint == "did you mean memory?"
    with pytest.raises(InvalidArgument, match="--kind knows no 'xen'"):
        options.check({"kind": "xen"})


def test_without_any_kind_every_lack_is_said(engine_of: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "no_kvm", lambda: "there is no /dev/kvm")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(HostNotCapable, match="no KVM: there is no /dev/kvm; no uml: user-mode-linux is not") as caught:
        choice.choose(engine_of, "auto")
    assert caught.value.hint == "apt-get install user-mode-linux or apt-get install qemu-system-x86"


def test_the_first_kind_that_works_is_taken_and_says_why(engine_of: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "no_kvm", lambda: "")
    monkeypatch.setattr(choice, "_qemu", lambda: "/q")
    found = Kernel(Path("/k"), RELEASE, None, "fetched")
    monkeypatch.setattr(kernel, "find", lambda *_, **__: found)
    monkeypatch.setattr(choice, "_proved", lambda *_: "it said nothing")
    monkeypatch.setattr(registers, "shim", lambda *_: "")
    monkeypatch.setattr(os, "access", lambda *_, **__: True)
    taken = choice.choose(engine_of, "auto")
    assert taken.kind == "uml"
    assert "no kernel boots in it: it said nothing" in taken.reason
    monkeypatch.setattr(choice, "_proved", lambda *_: "")
    assert choice.choose(engine_of, "auto").kind == "kvm"


def test_a_processor_without_amx_needs_no_shim(engine_of: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "has_amx", lambda: False)
    assert registers.shim(engine_of, "6.1.176") == ""
    monkeypatch.setattr(registers, "has_amx", lambda: True)
    assert registers.shim(engine_of, "6.13.1") == ""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(HostNotCapable, match="AMX") as caught:
        registers.shim(engine_of, "6.1.176")
    assert "gcc" in caught.value.hint


def test_folders_are_mounted_by_the_guest_and_closed_by_the_host() -> None:
    one = {"tag": "share0", "source": "/x y", "target": "/in it", "read_only": True}
    assert shares.lines("uml", [one])[1] == (
        "mkdir -p '/root/in it' && mount -t hostfs -o /share0,ro none '/root/in it' || return 1"
    )
    assert "mount -t virtiofs -o ro share0 '/root/in it'" in shares.lines("tcg", [one])[1]
    assert shares.steps("uml", "/f", [one])[0]["args"]["target"] == "/f/jail/share0"
    assert shares.steps("tcg", "/f", [one])[0]["args"]["target"] == "/f/share0"


def test_ports_of_the_host_lead_to_the_guest() -> None:
    (one,) = network.forwards({"network": "user", "publish": ["127.0.0.1::80"]})
    assert one["host_port"] > 0
    words = network.devices([{**one, "host_port": 8080}])
    assert words[1] == "user,id=net,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArgument, match=f"port {port} of 127.0.0.1 cannot be had"):
            network.forwards({"network": "user", "publish": [f"127.0.0.1:{port}:80"]})
    assert network.forwards({"publish": ["80"]}) == []  # a network of ours leads it
    assert network.wanted({"publish": ["80"]})
    assert not network.wanted({})
    with pytest.raises(InvalidArgument, match="has no network"):
        network.wanted({"publish": ["80"], "network": "none"})


def test_user_mode_linux_is_not_taken_where_the_network_is_to_be_qemus(engine_of: Engine) -> None:
    with pytest.raises(HostNotCapable, match="--network user is QEMU's, and user-mode-linux is none"):
        choice.choose(engine_of, "uml", network=True)


def test_a_macvlan_is_no_network_for_a_machine(engine_of: Engine) -> None:
    place = engine_of.root / "networks/wire"
    place.mkdir(parents=True)
    record = {"name": "wire", "driver": "macvlan", "subnets": [], "internal": False}
    (place / "network.json").write_text(json.dumps(record))
    with pytest.raises(HostNotCapable, match="network wire is a macvlan"):
        network.attached(engine_of, {"network": "wire"}, {}, "0" * 64, "box", "uml")
    with pytest.raises(InvalidArgument, match="a virtual machine has a network of its own"):
        network.attached(engine_of, {"network": "host"}, {}, "0" * 64, "box", "uml")
    assert network.attached(engine_of, {"network": "user"}, {}, "0" * 64, "box", "tcg") is None
    assert network.modules(None) == []


def test_what_a_killed_keeper_left_is_swept_and_what_lives_stays(tmp_path: Path) -> None:
    root, run = str(tmp_path), str(tmp_path / "run")
    (tmp_path / "machines").mkdir()
    for name in ("dead", "forgotten", "alive"):
        (tmp_path / "vm" / name).mkdir(parents=True)
        (tmp_path / "vm" / name / "cow").touch()
        Places(root, run, name).make({"id": name, "name": name, "remove": name == "forgotten"})
    with flock.folder_held(str(tmp_path / "vm/alive")):
        assert sorted(sweeping.tidy(root, run)) == ["dead", "forgotten"]
        assert [one.status for one in places.of(root, run)] == ["booting", "dead"]
    assert [path.name for path in (tmp_path / "vm").iterdir()] == ["alive"]
    assert [path.name for path in (tmp_path / "run/.vm").iterdir()] == ["alive"]
    assert sweeping.tidy(str(tmp_path / "nowhere"), run) == []
    with pytest.raises(NameInUse, match="the name dead is taken"):
        Places(root, run, "other").make({"id": "other", "name": "dead", "remove": False})


def test_a_machine_is_found_by_what_is_known_of_it(engine_of: Engine) -> None:
    for id, name in (("a" * 12, "one"), ("a1" + "b" * 10, "two")):
        made = {"image": "mini", "command": [], "kind": "uml", "reason": "", "kernel": "6.1", "memory": 1, "cpus": 1}
        record = {"id": id, "name": name, "ports": [], "remove": False, "created": name, **made}
        Places(str(engine_of.root), str(engine_of.run), id).make(record)
    assert finding.find(engine_of, "two").name == "two"
    assert finding.find(engine_of, "aa").name == "one"
    assert [one.name for one in finding.known(engine_of)] == ["two", "one"]
    with pytest.raises(InvalidArgument, match="2 virtual machines have an id that begins with a"):
        finding.find(engine_of, "a")
    with pytest.raises(NotFound, match="there is no virtual machine three") as caught:
        finding.find(engine_of, "three")
    assert caught.value.hint == "vm ls -a shows those there are"
    with pytest.raises(InvalidArgument, match="no virtual machine was named"):
        finding.chosen(engine_of, [])
    assert finding.chosen(engine_of, ["three"], passing=True) == []
    with pytest.raises(InvalidState, match="the virtual machine two is not running: it is dead"):
        finding.find(engine_of, "two").exec("true")
    with pytest.raises(InvalidArgument, match="a b"):
        finding.name(engine_of, {"name": "a b"})
    assert finding.name(engine_of, {}) not in ("one", "two")
    shown = listing.ls(engine_of, everything=True)
    assert [row["state"] for row in shown] == ["dead", "dead"]
    assert "Dead (its keeper was killed)" in shown.text()
    assert list(listing.ls(engine_of, everything=False)) == []


def test_disks_of_images_that_are_gone_are_swept(engine_of: Engine) -> None:
    (engine_of.cache / "vm").mkdir()
    for form in disk.FORMS:
        (engine_of.cache / f"vm/0123.{form}").touch()
    (engine_of.cache / "vm/0123.cpio").touch()
    assert disk.sweep(engine_of) == ["0123"] * len(disk.FORMS)
    assert [path.name for path in (engine_of.cache / "vm").iterdir()] == ["0123.cpio"]


@pytest.mark.parametrize("form", disk.FORMS)
def test_a_disk_that_cannot_be_written_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    (tmp_path / "root").mkdir()
    maker = tmp_path / "mkfs"
    maker.write_text("#!/bin/sh\necho No space left on device >&2\nexit 1\n")
    maker.chmod(0o755)
    monkeypatch.setattr(disk, "mount", lambda *_: None)
    with pytest.raises(HostNotCapable, match="mkfs could not write the image's files: No space left") as caught:
        disk.make(form, str(maker), [], str(tmp_path))
    assert "is there room?" in caught.value.hint


@pytest.mark.parametrize(
    ("form", "package"), [("ext4", "e2fsprogs"), ("squashfs", "squashfs-tools"), ("erofs", "erofs-utils")]
)
def test_a_disk_without_the_program_that_makes_it(
    engine_of: Engine, monkeypatch: pytest.MonkeyPatch, form: str, package: str
) -> None:
    class Image:
        digest = "sha256:0123"

    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(HostNotCapable, match="is not installed here") as caught:
        disk.ensure(engine_of, Image(), form)  # type: ignore[arg-type]
    assert caught.value.hint == f"apt-get install {package}"


def test_a_handle_shows_what_it_was_in_text_and_html() -> None:
    one = Machine(
        "id", "<b>mini</b>", ("uname", "-r"), "tcg", "no KVM: <x>", RELEASE, 64 << 20, 1,
    ).ended_as({"exit_code": 3, "wall_s": 5.0, "boot": boot.breakdown(TIMES, MARKS)})  # fmt: skip
    text, html = one.text(), one.html()
    for fact in ("emulation (QEMU TCG)", "no KVM", RELEASE, "2 s = firmware", "exit 3 after 5", "uname -r"):
        assert fact in text
        assert fact in html
    assert "<b>mini" not in html
    assert "<x>" not in html
    assert one.document()["boot"] == dict(one.boot)


def test_processors_of_the_host() -> None:
    from nbcontainers.vm import pinning

    last = max(os.sched_getaffinity(0))
    assert pinning.processors(str(last)) == [last]
    assert pinning.processors("") == []
    assert pinning.others([last]) == os.sched_getaffinity(0) - {last} or os.sched_getaffinity(0) == {last}
    with pytest.raises(InvalidArgument, match="there is no processor 9999 for it"):
        pinning.processors("9999")


def test_names_and_links_of_a_package_do_not_lead_out_of_it(tmp_path: Path, engine_of: Engine) -> None:
    place = kernel.folder(engine_of)
    place.mkdir()
    for number, name in enumerate(("vmlinuz-..", "vmlinuz-", "vmlinuz-x")):
        path = tmp_path / f"{number}/boot" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bzimage())
        with pytest.raises(InvalidArgument, match="no kernel in that package"):
            fetching._keep(tmp_path / f"{number}", place)
    of_the_host, linked, modules_of = tmp_path / "host", tmp_path / "linked", tmp_path / "modules_of"
    (of_the_host / RELEASE).mkdir(parents=True)
    (of_the_host / f"vmlinuz-{RELEASE}").write_bytes(bzimage())
    linked.mkdir()
    (linked / "boot").symlink_to(of_the_host)
    with pytest.raises(InvalidArgument, match="no kernel in that package"):
        fetching._keep(linked, place)
    (modules_of / "boot").mkdir(parents=True)
    (modules_of / f"boot/vmlinuz-{RELEASE}").write_bytes(bzimage())
    (modules_of / "lib").mkdir()
    (modules_of / "lib/modules").symlink_to(of_the_host)
    (modules_of / f"usr/lib/modules/{RELEASE}/kernel").mkdir(parents=True)
    (modules_of / f"usr/lib/modules/{RELEASE}/kernel/a.ko").symlink_to("/etc/passwd")
    assert fetching._keep(modules_of, place) == RELEASE
    assert len(list(of_the_host.iterdir())) == 2
    assert list((place / RELEASE / "modules/kernel").iterdir()) == []


def test_a_program_is_read_for_its_version_and_shown_by_its_whole_path(
    tmp_path: Path, engine_of: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_bytes(b"\x7fELF\0Linux version 6.1.99 (me) # \0")
    found = kernel.find(engine_of, uml=True, given="mine")
    assert (found.path, found.release) == (tmp_path / "mine", "6.1.99")


def test_commas_and_odd_sizes_on_the_command_line_of_qemu() -> None:
    words = hardware.command(
        plan(kind="tcg", disk="/a,b/d", memory=300000000, servers=[{"tag": "root"}]), 3, _OPEN, [80]
    )
    assert "file=/a,,b/d,if=none,id=root,format=raw,snapshot=on" in words
    assert words[words.index("-m") + 1] == "286"
    assert "memory-backend-memfd,id=ram,size=286M,share=on" in words
    assert shares._server("/usr/lib/qemu/virtiofsd", "/a,b")[-1].startswith("source=/a\\,b,sandbox=")


def test_modules_that_are_damaged_or_need_each_other(tree: Path) -> None:
    (tree / "kernel/drivers/x.ko").write_bytes(b"\0depends=y\0")
    (tree / "kernel/drivers/y.ko").write_bytes(b"\0depends=x\0")
    assert [path.name for path in modules.in_order(tree, ["x", "y"])] == ["y.ko", "x.ko"]
    for name in ("z.ko.xz", "z.ko.gz", "z.ko.zst"):
        (tree / "kernel/drivers" / name).write_bytes(b"damaged")
        with pytest.raises(HostNotCapable, match=f"{name} cannot be read"):
            modules.in_order(tree, ["z"])
        (tree / "kernel/drivers" / name).unlink()


def test_very_many_processors_are_refused_at_once() -> None:
    from nbcontainers.vm import pinning

    with pytest.raises(InvalidArgument, match="there is no processor"):
        pinning.processors("0-9999999999")


def test_a_program_that_was_once_killed_is_not_why_a_machine_ends() -> None:
    killed = "[    9.1] Out of memory: Killed process 7 (x) total-vm:1kB\n"
    assert "ended before the command" in boot.failed(PLAN, "", f"{killed}reboot: Power down\n", overdue=False).message
    panic = f"{killed}Kernel panic - not syncing: Attempted to kill init!\n"
    assert "too little memory" in boot.failed(PLAN, "", panic, overdue=False).message
    assert "too little memory" in boot.failed(PLAN, "no module", killed, overdue=False).message


def test_a_file_of_the_cache_is_whole_or_not_there(engine_of: Engine) -> None:
    path = engine_of.cache / "vm/x.cpio"
    unpacking.keep(engine_of, path, b"data")
    assert path.read_bytes() == b"data"
    path.unlink()
    path.mkdir()
    with pytest.raises(HostNotCapable, match=r"x\.cpio could not be written"):
        unpacking.keep(engine_of, path, b"data")
    assert list((engine_of.root / "partial").iterdir()) == []


def test_qemu_filters_its_own_system_calls_where_it_can(tmp_path: Path) -> None:
    for content, expected in ((b"\0libseccomp.so.2\0", 1), (b"\0", 0)):
        (tmp_path / "q").write_bytes(content)
        words = hardware.command(plan(kind="tcg", program=str(tmp_path / "q")), 3, _OPEN, [])
        assert words.count("-sandbox") == expected
