"""Containers that are begun before anybody asks for them: used once, only where they fit, and gone with their launcher."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.container import api
from nbcontainers.container.execution import SESSION
from nbcontainers.container.running import MONITOR
from nbcontainers.engine import Engine
from nbcontainers.errors import ContainerFailed, CreateFailed, Error, InvalidState
from nbcontainers.launcher import client, server
from tests.monitored import wait_for

pytestmark = pytest.mark.leaks("another launcher takes the place of the one before")


@pytest.fixture(autouse=True)
def _own_launcher() -> Iterator[None]:
    client.close()
    yield
    client.close()


def run(*words: str, **options: object) -> nbcontainers.Container:
    return nbcontainers.run("mini", *(words or ("true",)), network="none", rm=True, **options)


def ready(target: str = MONITOR) -> client.Ready:
    """The process that the launcher keeps after a container, or for an `exec`."""
    found: list[client.Ready] = []

    def look() -> bool:
        if one := client.reserve(target):
            found.append(one)
        return bool(found)

    wait_for(look)
    return found[0]


@pytest.fixture
def sleeper() -> Iterator[nbcontainers.Container]:
    with nbcontainers.run("mini", "sleep", "1000", network="none", detach=True) as made:
        yield made


def said(container: nbcontainers.Container, *words: str, **options: Any) -> str:
    """What a command writes that is executed in the container."""
    out: list[bytes] = []
    api.exec_(container, *words, stdout=out.append, **options)
    return b"".join(out).decode().strip()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def space(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def waiting() -> list[int]:
    """The processes that wait to go into a container: nobody else below the launcher sees its mounts."""
    launcher = client._current().process.pid
    found = [pid for child in children(launcher) for pid in children(child)]
    return [pid for pid in found if space(pid, "mnt") == space(launcher, "mnt")]


def cgroups(name: str) -> list[str]:
    """The cgroups of that name, in all hierarchies."""
    return [f"{top}/{name}" for top, folders, _ in os.walk("/sys/fs/cgroup") if name in folders]


def waiting_init(name: str) -> int:
    """The pid of the init that waits in the cgroup of that name."""
    return next(int(pid) for path in cgroups(name) for pid in Path(path, "cgroup.procs").read_text().split())


def test_the_next_container_like_it_is_the_one_that_was_begun(engine: Engine) -> None:
    run()
    first = ready()
    client.give_back(first)
    assert (
        run("sh", "-c", "exit 0", env={"A": "b"}, hostname="other", memory="64m" if os.geteuid() == 0 else None).id
        == first.name
    )
    second = ready()
    client.give_back(second)
    assert second.name != first.name


def test_one_that_is_not_like_it_is_begun_anew_and_nothing_stays(engine: Engine) -> None:
    run()
    begun = ready()
    client.give_back(begun)
    out: list[bytes] = []
    assert run("df", "-k", "/dev/shm", shm_size="3m", stdout=out.append).id == begun.name
    assert b"3072" in b"".join(out)
    wait_for(lambda: not cgroups(begun.name))


def test_a_wrong_option_costs_nothing(engine: Engine) -> None:
    run()
    begun = ready()
    client.give_back(begun)
    with pytest.raises(nbcontainers.errors.InvalidArgument):
        run(memory="lots")
    assert run().id == begun.name


@pytest.mark.as_root
def test_the_init_that_waits_sees_nothing_of_the_host(engine: Engine) -> None:
    run()
    begun = ready()
    pid = waiting_init(begun.name)
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert {line.split(" - ")[1].split()[0] for line in lines} <= {
        "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2",
    }  # fmt: skip
    links = {os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
    assert links <= {"/dev/null", "socket", "pipe"}
    assert os.listdir(f"/proc/{pid}/root/root") == []
    client.give_back(begun)


@pytest.mark.as_root
def test_one_that_was_killed_is_replaced(engine: Engine) -> None:
    run()
    begun = ready()
    parent = int(Path(f"/proc/{waiting_init(begun.name)}/stat").read_text().rpartition(")")[2].split()[1])
    client.give_back(begun)
    os.kill(parent, signal.SIGKILL)
    wait_for(lambda: not begun.alive())
    assert run().id != begun.name
    assert "half-made run folder" in {row["what"] for row in nbcontainers.system.prune()}
    assert not cgroups(begun.name)


def test_the_next_exec_is_by_the_process_that_waits(sleeper: nbcontainers.Container) -> None:
    assert said(sleeper, "hostname") == sleeper.short_id
    client.give_back(ready(SESSION))
    (pid,) = waiting()
    assert all(space(pid, kind) != space(sleeper.pid or 0, kind) for kind in ("mnt", "pid", "net", "ipc", "uts"))
    assert sleeper.id not in Path(f"/proc/{pid}/cgroup").read_text()
    assert said(sleeper, "sh", "-c", "cat /proc/1/comm; echo $A; ls /proc/self/fd; exit 0", env=["A=b"]).split() == [
        "sleep", "b", "0", "1", "2", "3",
    ]  # fmt: skip
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    client.give_back(ready(SESSION))
    with pytest.raises(nbcontainers.errors.CreateFailed) as caught:
        api.exec_(sleeper, "nosuchprogram")
    assert caught.value.exit_code == 127


def test_all_namespaces_and_the_cgroup_are_the_container_s(sleeper: nbcontainers.Container) -> None:
    script = "cat /proc/self/cgroup; for one in /proc/self/ns/*; do readlink $one; done"
    first = said(sleeper, "sh", "-c", script)
    client.give_back(ready(SESSION))
    assert said(sleeper, "sh", "-c", script) == first
    spaces = {space(sleeper.pid or 0, kind) for kind in os.listdir(f"/proc/{sleeper.pid}/ns")}
    assert {line for line in first.splitlines() if ":[" in line} == spaces


def test_who_waits_for_an_exec_goes_with_the_container(sleeper: nbcontainers.Container) -> None:
    said(sleeper, "true")
    begun = ready(SESSION)
    client.give_back(begun)
    (pid,) = waiting()
    sleeper.rm(force=True)
    wait_for(lambda: not begun.alive() and not Path(f"/proc/{pid}").exists())


def test_an_exec_finds_what_has_changed_since(sleeper: nbcontainers.Container) -> None:
    said(sleeper, "true")
    client.give_back(ready(SESSION))
    api.restart(sleeper)
    assert said(sleeper, "cat", "/proc/1/comm") == "sleep"
    client.give_back(ready(SESSION))
    os.kill(waiting()[0], signal.SIGKILL)
    assert said(sleeper, "cat", "/proc/1/comm") == "sleep"
    with nbcontainers.run("mini", "sleep", "1001", network="none", detach=True) as other:
        client.give_back(ready(SESSION))
        assert said(other, "hostname") == other.short_id


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_goes_with_its_launcher(engine: Engine, number: int) -> None:
    run()
    begun = ready()
    os.kill(client._current().process.pid, number)
    wait_for(lambda: not begun.alive())
    wait_for(lambda: not list(engine.run.glob(".*.claim")) and not cgroups(begun.name))


def test_who_waits_for_an_exec_goes_with_its_launcher(sleeper: nbcontainers.Container) -> None:
    said(sleeper, "true")
    client.give_back(ready(SESSION))
    (pid,) = waiting()
    os.kill(client._current().process.pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_run_that_asks_one_just_let_go_takes_the_ordinary_way(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    begun = ready()
    client.close()  # the launcher lets go of it
    wait_for(lambda: not begun.alive())
    monkeypatch.setattr(client.Ready, "alive", lambda _: True)  # as it was when we looked
    monkeypatch.setattr(client, "reserve", lambda _: begun)
    assert run().exit_code == 0


def test_an_exec_whose_container_ends_in_the_middle_of_it_says_that() -> None:
    """At whatever step: its namespaces go first, then its processes, then its files."""
    ended = set()
    with nbcontainers.run("mini", "sleep", "1000", network="none", detach=True) as made:

        def execute() -> None:
            try:
                api.exec_(made, "sleep", "1000")
            except Error as error:
                ended.add((type(error), error.message.partition(": ")[0]))

        for number in range(10):
            threads = [threading.Thread(target=execute) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(number * 0.01)
            api.kill(made)
            for thread in threads:
                thread.join(10)
            assert not any(thread.is_alive() for thread in threads)
            api.wait(made)
            api.start(made)
        said = {(InvalidState, f"cannot exec in container {which}") for which in (made.name, repr(made.id))}
    assert ended <= said | {(ContainerFailed, "exec of sleep")}


@pytest.mark.limits
def test_an_exec_that_the_pids_limit_leaves_no_room_for_says_which() -> None:
    with nbcontainers.run("mini", "sleep", "1000", network="none", detach=True, pids_limit=1) as made:
        with pytest.raises(CreateFailed, match="Resource temporarily unavailable") as raised:
            api.exec_(made, "true")
        assert raised.value.hint == (
            f"it has as many processes as it may: type container update --pids-limit N {made.name}"
        )


def test_what_is_said_to_one_that_leaves_fails_at_once(tmp_path: Path) -> None:
    """Nothing is lost in a socket that nobody reads any more."""
    launcher, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking, request = socket.socketpair()
    leaving = tmp_path / "leaving"
    if not (pid := os.fork()):
        launcher.close()
        asking.close()
        wish = {"target": "tests.system.launcher_targets:slow_to_leave", "arguments": {"path": str(leaving)}}
        server.wait_prepared(theirs, request, "tests", json.dumps(wish).encode())
    theirs.close()
    request.close()
    assert json.loads(launcher.recv(100)) == {"module": "tests", "name": "slow"}
    launcher.close()
    wait_for(leaving.exists)
    with pytest.raises(BrokenPipeError):
        asking.sendall(b"request")
    os.waitpid(pid, 0)
    asking.close()
