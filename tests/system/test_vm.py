"""Virtual machines that really boot: user-mode-linux in a second or two, QEMU's emulation in some five."""

from __future__ import annotations

import io
import os
import platform
import select
import signal
import socket
import stat
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import vm as machines
from nbcontainers.engine import default_engine
from nbcontainers.errors import (
    ContainerFailed,
    HostNotCapable,
    InvalidArgument,
    InvalidState,
    NameInUse,
    NotFound,
    TimedOut,
)
from nbcontainers.launcher import client
from nbcontainers.linux import process
from nbcontainers.vm import choice, finding
from nbcontainers.vm.machine import Machine
from tests import peers, vm
from tests.crafted import entry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


class Output:
    """What a run wrote."""

    def __init__(self) -> None:
        self.stdout: list[bytes] = []
        self.stderr: list[bytes] = []

    @property
    def text(self) -> str:
        return b"".join(self.stdout).decode()

    @property
    def errors(self) -> str:
        return b"".join(self.stderr).decode()


Uml = Callable[..., tuple[Machine, Output]]


@pytest.fixture
def uml(engine: Any) -> Uml:
    """`uml("uname", "-r", memory="64m")`: the handle and what was written, of a run of `mini`."""
    peers.program("linux.uml")
    peers.program("mke2fs")
    peers.program("busybox")

    def run(*command: str, image: str = "mini", **options: Any) -> tuple[Machine, Output]:
        output = Output()
        options = {"kind": "uml", "memory": "128m", **options}
        machine = machines.run(image, *command, stdout=output.stdout.append, stderr=output.stderr.append, **options)
        return machine, output

    return run


@pytest.fixture(scope="session")
def kernel() -> str:
    """A Debian kernel for QEMU."""
    peers.program("qemu-system-x86_64")
    return str(vm._kernel()[0])


def interrupt_after(event: Callable[[], bool], limit: float = 20) -> threading.Thread:
    """Press the stop button once that is so."""

    def wait() -> None:
        deadline = time.monotonic() + limit
        while not event() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_it_has_a_kernel_of_its_own_and_the_very_same_files(uml: Uml) -> None:
    """One boot, many looks: each costs a second or two."""
    script = """
        uname -r; hostname; pwd; id -u; id -g; echo "$ANSWER"; cat /etc/hostname; grep ID= /etc/os-release | head -1
        nproc; awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo; awk '$2 == "/" {print $3}' /proc/mounts
        cat; echo oops >&2; sleep 1000 & exit 3
    """
    variables = ["ANSWER=é 'x' $HOME"]
    machine, output = uml(
        "sh", "-c", script, env=variables, workdir="/made/here", hostname="box", user="5:6", stdin=b"from\0us\n" * 2000,
        raise_error=False,
    )  # fmt: skip
    lines = output.text.partition("from")[0].splitlines()
    assert lines[0] == machine.release
    assert lines[0] != platform.release()
    assert lines[1:9] == ["box", "/made/here", "5", "6", "é 'x' $HOME", "box", "ID=mini", "1"]
    assert 64 < int(lines[9]) <= 128
    assert lines[10] == "ext4"
    assert output.text.endswith("from\0us\n" * 2000)
    assert output.errors == "oops\n"
    assert machine.exit_code == 3
    assert machine.kind == "uml"
    assert "user-mode-linux" in machine.label
    assert machine.boot["boot"] > machine.boot["kernel"] > 0
    assert {"firmware", "init", "command", "shutdown"} <= machine.boot.keys()
    assert machine.boot["firmware"] + machine.boot["kernel"] + machine.boot["init"] == pytest.approx(
        machine.boot["boot"], abs=0.05
    )


def test_what_is_written_is_gone_but_in_a_folder_of_ours(uml: Uml, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hello\n")
    (tmp_path / "closed").mkdir()
    script = "cat /ours/in; echo there >/ours/out; echo x >/etc/x; mount -o remount,rw /closed; echo no >/closed/x"
    _, output = uml(
        "sh", "-c", f"{script}; true", root="shared", volume=[f"{tmp_path}:/ours", f"{tmp_path}/closed:/closed:ro"]
    )
    assert output.text == "hello\n"
    assert "Read-only" in output.errors
    assert (tmp_path / "out").read_text() == "there\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed", "in", "out"]
    assert list((tmp_path / "closed").iterdir()) == []
    _, output = uml("ls", "/etc", root="shared")
    assert "x" not in output.text.split()


def test_output_comes_while_it_runs_and_an_interrupt_reaches_the_command(uml: Uml) -> None:
    output = Output()
    pressed = interrupt_after(lambda: b"ready" in b"".join(output.stdout))
    script = "trap 'echo caught; exit 0' INT; echo ready; while :; do sleep 0.1; done"
    with pytest.raises(KeyboardInterrupt):
        machines.run(
            "mini",
            "sh",
            "-c",
            script,
            kind="uml",
            memory="128m",
            stdout=output.stdout.append,
            stderr=output.stderr.append,
        )
    pressed.join()
    assert output.text == "ready\ncaught\n"
    assert "sent SIGINT to the virtual machine" in output.errors


def test_its_root_sees_nothing_of_the_host(uml: Uml) -> None:
    """hostfs shows what user-mode-linux itself can see."""
    script = (
        "mkdir /h; mount -t hostfs -o / none /h; ls -A /h; mount -t hostfs -o /../../.. none /h; ls -A /h; ls /h/proc"
    )
    _, output = uml("sh", "-c", script)
    jail = {"image", "initrd", "lib", "lib64", "own", "proc", "tmp", "usr", "work", "var", "root", "dev", "home"}
    assert {"image", "initrd", "own"} <= set(output.text.split()) <= {*jail, "cpuinfo"}


def test_what_is_shared_holds_no_device_of_the_host(staying: Callable[..., Machine], tmp_path: Path) -> None:
    box = staying(volume=[f"{tmp_path}:/x"], root="shared")
    lines = [line.split() for line in Path(f"/proc/{box.pid}/mountinfo").read_text().splitlines()]
    flags = {line[4]: line[5] for line in lines}
    for place in ("/rootfs", "/share0"):
        assert {"nodev", "nosuid"} <= set(flags[place].split(","))
    assert any(line[4] == "/" and "nr_inodes=4096" in line[-1] for line in lines)


def test_a_command_that_fails_says_so(uml: Uml) -> None:
    with pytest.raises(ContainerFailed) as caught:
        uml("nosuch")
    assert caught.value.exit_code == 127
    assert "(uml) failed with exit status 127" in caught.value.message
    assert "nosuch" in caught.value.message
    assert caught.value.container.kind == "uml"


@pytest.fixture
def staying(engine: Any) -> Iterator[Callable[..., Machine]]:
    """`staying(kind="uml")`: a machine that goes on, removed afterwards."""
    peers.program("linux.uml")
    made: list[Machine] = []

    def run(*command: str, **options: Any) -> Machine:
        options = {"kind": "uml", "memory": "128m", "name": "box", **options}
        made.append(machines.run("mini", *command, detach=True, **options))
        return made[-1]

    yield run
    for one in made:
        machines.rm(one.id, force=True)


def test_a_machine_stays_is_asked_things_and_ends_in_order(staying: Callable[..., Machine], cli: Any) -> None:
    """One boot, many looks."""
    box = staying()
    assert (box.status, box.running, box.exit_code) == ("running", True, None)
    assert {
        stat.S_IMODE(path.stat().st_mode)
        for path in (*default_engine().run.glob(".vm"), *default_engine().run.glob(".vm/*"))
    } == {0o700}
    assert box.pid
    status = Path(f"/proc/{box.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status  # a guest's root is nobody on the host
    assert "NoNewPrivs:\t1" in status
    with pytest.raises(NameInUse, match="the name box is taken"):
        machines.run("mini", detach=True, kind="uml", memory="128m", name="box")
    (row,) = machines.ls()
    assert (row["name"], row["state"], row["kind"]) == ("box", "running", "uml")
    check_commands(box)
    done = cli(
        "vm",
        "exec",
        "-i",
        "-e",
        "A=1",
        "-w",
        "/etc",
        "box",
        "sh",
        "-c",
        "cat; echo $A; pwd; echo oops >&2; exit 7",
        input="in\n",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("in\n1\n/etc\n", "oops\n", 7)
    assert "nbcontainers: command" in machines.console("box").text()
    assert machines.inspect("box")[0]["status"] == "running"
    assert box.boot["boot"] > box.boot["kernel"] > 0
    with pytest.raises(InvalidState, match="box is running") as caught:
        box.rm()
    assert "vm stop box" in caught.value.hint
    assert machines.stop("box") == ["box"]
    assert (box.status, box.exit_code) == ("exited", 143)
    assert machines.wait("box") == [143]
    assert list(machines.ls()) == []
    with pytest.raises(InvalidState, match="box is not running: it is exited"):
        box.exec("true")
    assert cli("vm", "ls", "-a", "-q").stdout == f"{box.id[:12]}\n"
    assert cli("vm", "rm", "box").stdout == "box\n"
    assert box.status == "removed"


def test_files_go_in_and_come_out_by_dockers_rules(staying: Callable[..., Machine], cli: Any, tmp_path: Path) -> None:
    staying()
    menu = tmp_path / "menu"
    (menu / "soups").mkdir(parents=True)
    (menu / "soups/pea").write_text("peas\n")
    (menu / "away").symlink_to("/etc/passwd")
    machines.cp(menu, "box:/lunch")  # which is not there: it becomes the copy
    machines.cp(menu, "box:/var/")
    machines.cp(f"{menu}/soups/.", ("box", "/tmp"))
    machines.cp(str(menu / "soups/pea"), "box:/lunch/soups/bean")
    seen = Output()
    look = "cd /; ls -d lunch/* lunch/soups/* var/menu tmp/pea; readlink lunch/away; stat -c %u:%g lunch/soups/pea"
    machines.exec_("box", "sh", "-c", look, stdout=seen.stdout.append)
    assert seen.text.split() == [
        "lunch/away", "lunch/soups", "lunch/soups/bean", "lunch/soups/pea", "tmp/pea", "var/menu", "/etc/passwd", "0:0",
    ]  # fmt: skip
    machines.cp("box:/lunch", tmp_path / "back")
    machines.cp("box:/lunch/.", tmp_path / "inner")
    for folder in ("back", "inner"):
        assert (tmp_path / folder / "soups/bean").read_text() == "peas\n"
        assert (tmp_path / folder / "away").is_symlink()
        assert (tmp_path / folder / "soups/pea").stat().st_uid == os.geteuid()
        assert (tmp_path / folder).stat().st_mode & 0o777 == menu.stat().st_mode & 0o777
    machines.exec_("box", "touch", "/tmp/-x")
    machines.cp("box:/tmp/-x", tmp_path / "dash")
    assert (tmp_path / "dash").read_bytes() == b""
    machines.exec_("box", "ln", "-s", "/lunch/soups", "/root/lib")  # a name that leads to other files here
    machines.cp("box:/root/lib/.", tmp_path / "linked")
    assert sorted(path.name for path in (tmp_path / "linked").iterdir()) == ["bean", "pea"]
    with pytest.raises(NotFound, match="there is no box:/lunch/nix"):
        machines.cp("box:/lunch/nix", tmp_path)
    with pytest.raises(NotFound, match="there is no folder for box:/no/such"):
        machines.cp(menu, "box:/no/such")
    with pytest.raises(InvalidArgument, match="box:/lunch/soups/pea is a file"):
        machines.cp(menu, "box:/lunch/soups/pea")
    with pytest.raises(InvalidArgument, match="one end of the copy is in a virtual machine"):
        machines.cp(menu, tmp_path / "there")
    listed = cli("vm", "cp", "box:/lunch/soups/.", "-")
    with tarfile.open(fileobj=io.BytesIO(listed.stdout.encode())) as tar:
        assert sorted(tar.getnames()) == [".", "./bean", "./pea"]


def check_commands(box: Machine) -> None:
    """Commands in a machine: apart from each other, whole, with their input and status."""
    first, second, third = Output(), Output(), Output()
    waiting = threading.Thread(
        target=lambda: box.exec("sh", "-c", "cat; echo first", stdin=b"fed\n" * 9000, stdout=first.stdout.append)
    )
    waiting.start()
    box.exec("sh", "-c", "seq 20000; sleep 60 &", stdout=second.stdout.append)  # which is left alone
    waiting.join()
    assert first.text == "fed\n" * 9000 + "first\n"
    assert second.text == "".join(f"{number}\n" for number in range(1, 20001))
    failed = box.exec("sh", "-c", "echo why >&2; exit 5", raise_error=False, stderr=second.stderr.append)
    assert (failed.exit_code, second.errors) == (5, "why\n")
    box.exec("echo", "long" * 10000, stdout=third.stdout.append)  # more than a terminal holds at a time
    assert third.text == "long" * 10000 + "\n"
    with pytest.raises(ContainerFailed, match="the command in the virtual machine box failed with exit status 9"):
        box.exec("sh", "-c", "exit 9")
    shown = Output()
    typed = box.exec("sh", stdin=b"tty; stty size; exit 4\n", tty=True, stdout=shown.stdout.append, raise_error=False)
    assert typed.exit_code == 4
    assert "/dev/ttyS" in shown.text
    assert "24 80" in shown.text
    page = box.terminal("sh")  # as a notebook shows one
    page.resize(33, 99)
    page.write("echo $((6 * 7)); sleep 0.3; stty size; exit 5\n")
    assert page.wait(10) == 5
    assert "42" in page.text()
    assert "33 99" in page.text()


def test_what_outlives_its_client_ends_with_its_keeper(staying: Callable[..., Machine], cli: Any) -> None:
    made = cli(
        "vm", "run", "-d", "--kind", "uml", "-m", "128m", "--name", "left", "mini", "sh", "-c", "echo here; sleep 60"
    )
    left = finding.find(default_engine(), made.stdout.strip())
    try:
        assert left.running
        deadline = time.monotonic() + 10
        while not left.logs() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left.logs() == "here\n"
        assert cli("vm", "logs", "left").stdout == "here\n"
        machine = process.pidfd_open(left.state["pid"])
        os.kill(left.state["keeper"], signal.SIGKILL)
        assert select.select([machine], [], [], 5)[0]
        os.close(machine)
        assert left.status == "dead"
        with pytest.raises(InvalidState, match="its keeper was killed"):
            left.wait()
    finally:
        machines.rm("left", force=True)
    client.call("nbcontainers.vm.sweeping:tidy", root=str(left.places.root), run=str(left.places.run))
    assert not Path(left.places.folder).exists()
    assert not Path(left.places.live).exists()


def test_a_machine_that_takes_too_long_is_ended(uml: Uml) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match="ended after 4 s"):
        uml("sleep", "60", timeout="4s")
    assert time.monotonic() - began < 8


def test_supplementary_groups_are_set(uml: Uml, crafted: Any) -> None:
    image = crafted(
        entry("etc/passwd", b"ann:x:7:8::/:/bin/sh\n"), entry("etc/group", b"a:x:8:\nb:x:9:ann\nc:x:10:ann\n")
    )
    _, output = uml("id", image=image, user="ann")
    assert "uid=7(ann) gid=8(a) groups=" in output.text
    assert "9(b),10(c)" in output.text


def test_one_that_is_interrupted_while_it_boots_is_gone_at_once(uml: Uml) -> None:
    uml("true")  # its files are there
    began = time.monotonic()
    pressed = interrupt_after(lambda: time.monotonic() - began > 0.5)
    with pytest.raises(KeyboardInterrupt):
        uml("sleep", "60")
    pressed.join()
    assert time.monotonic() - began < 4


def test_too_little_memory_is_said(uml: Uml) -> None:
    with pytest.raises(InvalidArgument, match="8 MiB are too little memory for a virtual machine"):
        uml("true", memory="8m")


def test_a_guest_that_goes_by_itself_is_no_success(uml: Uml) -> None:
    with pytest.raises(HostNotCapable, match="ended before the command did"):
        uml("poweroff", "-f")


def test_the_command_line_has_its_output_and_status(uml: Uml, cli: Any) -> None:
    done = cli("vm", "run", "--kind", "uml", "-m", "128m", "-i", "mini", "sh", "-c", "cat; exit 7", input="over\n")
    assert (done.stdout, done.returncode) == ("over\n", 7), done.stderr


def test_qemu_boots_the_same_image_by_emulation(engine: Any, kernel: str, tmp_path: Path) -> None:
    """One boot: command, input, a folder, and a port of the host that leads to the guest's own address."""
    output, answers = Output(), []
    (tmp_path / "in").write_text("shown\n")
    port = free_port()
    asking = threading.Thread(target=lambda: answers.append(asked(port)))
    asking.start()
    machine = machines.run(
        "mini", "sh", "-c", "uname -r; nproc; cat; cat /ours/in; echo oops >&2; ip -4 -o addr show eth0; echo hello | "
        "nc -l -p 8000; exit 3", kind="tcg", kernel=kernel, memory="256m", cpus=2, stdin=b"given\n",
        volume=[f"{tmp_path}:/ours"], network="user", publish=[f"127.0.0.1:{port}:8000"], raise_error=False, timeout="60s",
        stdout=output.stdout.append, stderr=output.stderr.append,
    )  # fmt: skip
    asking.join()
    lines = output.text.splitlines()
    assert lines[:4] == [machine.release, "2", "given", "shown"]
    assert "inet 10.0.2.15/24" in lines[4]
    assert answers == [b"hello\n"]
    assert output.errors == "oops\n"
    assert machine.exit_code == 3
    assert machine.label == "emulation (QEMU TCG)"
    assert machine.boot["kernel"] > 0
    assert "emulation" in machine.text()
    assert f"127.0.0.1:{port}→8000/tcp" in machine.text()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def asked(port: int, limit: float = 45) -> bytes:
    """What the server behind that port says, once there is one."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.settimeout(10)
                if said := connection.recv(100):
                    return said
        except OSError:
            pass
        time.sleep(0.2)
    return b""


def test_kvm_is_believed_only_where_a_kernel_was_seen_to_boot(engine: Any, kernel: str) -> None:
    """On a machine whose KVM works it must say so; on others why not, within the seconds of the trial."""
    if not choice.no_kvm():
        assert choice.choose(engine, "kvm", kernel).kind == "kvm"
        return
    began = time.monotonic()
    with pytest.raises(HostNotCapable, match=r"no KVM here|no kernel boots in it") as caught:
        choice.choose(engine, "kvm", kernel)
    assert "--kind tcg" in caught.value.hint
    assert time.monotonic() - began < 12
