"""The verbs of containers that serve: pause, restart, rename, update, attach, wait, logs, events, prune, and lists."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers.container import api, health, lifecycle, logfile, store, waiting
from nbcontainers.container.container import Container
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument, InvalidState, NameInUse, NotFound
from nbcontainers.network import api as network
from nbcontainers.system import api as system
from tests.monitored import wait_for

ROOT = os.geteuid() == 0
TICKING = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"
ECHO = "while read line; do echo got $line; [ $line = end ] && exit 4; done; echo over"


def serve(name: str, script: str = TICKING, **options: object) -> Container:
    return nbcontainers.run("mini", "sh", "-c", script, name=name, detach=True, **options)


def lines(container: Container) -> int:
    return len(container.logs())


def actions(container: Container) -> list[str]:
    return [row["action"] for row in system.events(filter=[f"container={container.id}"]) or ()]


# -- pause, unpause, restart -------------------------------------------------------------------------------------------


@pytest.mark.limits
def test_what_is_paused_does_nothing_until_it_goes_on(name: str) -> None:
    container = serve(name)
    wait_for(lambda: lines(container) > 1)
    assert api.pause(name) == [name]
    assert container.status == "paused"
    assert "(Paused)" in repr(api.ps())
    assert waiting.wait(container, "paused", 1) == -1
    time.sleep(0.05)
    before = lines(container)
    time.sleep(0.2)
    assert lines(container) == before
    assert api.unpause(name) == [name]
    wait_for(lambda: lines(container) > before)
    assert actions(container)[-2:] == ["pause", "unpause"]


@pytest.mark.limits
def test_all_that_run_are_paused_and_stopped_together(name: str) -> None:
    both = [serve(f"{name}-{letter}", "trap '' TERM; while :; do sleep 0.05; done") for letter in "ab"]
    mine = {"filter": [f"name={name}"]}
    assert sorted(api.pause(**mine)) == [f"{name}-a", f"{name}-b"]
    assert [one.status for one in both] == ["paused", "paused"]
    assert api.pause(**mine) == []  # none that runs is left
    assert sorted(api.unpause(**mine)) == [f"{name}-a", f"{name}-b"]
    began = time.monotonic()
    assert sorted(api.stop(**mine, time=1)) == [f"{name}-a", f"{name}-b"]
    assert time.monotonic() - began < 1.9, "one after the other"
    assert sorted(api.rm(**mine)) == [f"{name}-a", f"{name}-b"]


def test_one_that_fails_does_not_keep_an_order_from_the_others(name: str) -> None:
    running, created = serve(f"{name}-a"), api.create("mini", "true", name=f"{name}-b")
    with pytest.raises(InvalidState, match=f"{name}-b is not running: it is created"):
        api.kill(created, running)
    assert running.wait() == 137
    with pytest.raises(InvalidState) as caught:
        api.kill(created, running)
    assert caught.value.message.count("is not running") == 2
    with pytest.raises(NotFound, match="no container 'nothing'"):
        api.rm(running, "nothing")
    assert running.status == "exited"
    again = serve(f"{name}-c", "trap '' TERM; while :; do sleep 0.05; done")
    running.rm()
    with pytest.raises(NotFound):
        api.stop(running, again, time=0)
    assert again.status == "exited"
    for wrong, words in (((), "no container was named"), ((again,), "and --all was given")):
        with pytest.raises(InvalidArgument, match=words):
            api.rm(*wrong, all=bool(wrong))


def test_removing_by_force_passes_over_what_is_not_there(name: str) -> None:
    """As `rm -f`, Docker since 20.10 and Podman; without it nothing is done where one is missing."""
    container = nbcontainers.run("mini", "sleep", "100", name=name, detach=True)
    with pytest.raises(NotFound, match=f"no container '{name}-not'"):
        api.rm(name, f"{name}-not")
    assert container.status == "running"
    assert api.rm(f"{name}-not", name, force=True) == [name]
    assert api.rm(name, force=True) == []
    for verb, words in ((network.rm, "no network 'nowhere'"), (nbcontainers.image.rm, "no image 'nowhere")):
        with pytest.raises(NotFound, match=words):
            verb("nowhere")
        assert verb("nowhere", force=True) == []


def test_restart(name: str) -> None:
    container = serve(name, f"echo run >> /root/log; cat /root/log; {TICKING}")
    wait_for(lambda: "run\n" in str(container.logs()))
    pid = container.pid
    assert api.restart(name, time=0) == [name]
    assert container.status == "running"
    assert container.pid != pid
    wait_for(lambda: "run\nrun\n" in str(container.logs()))
    container.stop(0)
    assert api.restart(name, time=0) == [name]
    assert container.status == "running"
    assert actions(container).count("restart") == 2


def test_a_container_that_removes_itself_is_not_removed_by_a_restart(name: str) -> None:
    container = serve(name, rm=True)
    pid = container.pid
    container.restart(0)
    assert container.status == "running"
    assert container.pid != pid
    container.stop(0)
    wait_for(lambda: container.removed)


def test_a_program_that_is_gone_fails_its_restart(name: str) -> None:
    container = serve(name, f"rm -f /bin/sleep /bin/sh; {TICKING.replace('sleep', 'busybox sleep')}")
    wait_for(lambda: lines(container) > 0)
    with pytest.raises(Error, match="executable file not found"):
        container.restart(0)
    assert container.status == "exited"


def test_a_monitor_that_does_not_tidy_up_is_told_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    container = serve(name)
    monitor = store.state(container.engine, container.id, "monitor.json")["pid"]
    monkeypatch.setattr(lifecycle, "_PATIENCE", 0.1)
    os.kill(monitor, signal.SIGSTOP)
    try:
        with pytest.raises(InvalidState, match=r"monitor of container [0-9a-f]{12} does not end"):
            container.stop(0)
    finally:
        os.kill(monitor, signal.SIGCONT)
    wait_for(lambda: container.status == "exited")


# -- rename ------------------------------------------------------------------------------------------------------------


def test_rename(name: str, engine: Engine) -> None:
    container = serve(f"{name}-a", rm=True)
    with pytest.raises(InvalidArgument, match="is no name"):
        container.rename("a/b")
    api.create("mini", "true", name=f"{name}-taken")
    with pytest.raises(NameInUse, match=f"'{name}-taken' is in use"):
        container.rename(f"{name}-taken")
    assert api.rename(container, f"{name}-b") == container
    assert container.name == f"{name}-b"
    assert api.ps(filter=[f"name={name}-b"])[0]["id"] == container.id
    with pytest.raises(NotFound):
        api.inspect(f"{name}-a")
    container.stop(0)
    wait_for(lambda: container.removed)
    assert not {f"{name}-a", f"{name}-b"} & set(store.names(engine)), "the name that it had at its end is given back"
    assert system.events(filter=[f"container={container.id}", "event=die"])[0]["name"] == f"{name}-b"


@pytest.mark.as_root
def test_others_on_the_network_find_it_by_its_new_name(ours: Engine) -> None:
    network.create("lab", subnet="10.77.0.0/24")
    server = serve("a", "exec httpd -f -p 80 -h /etc", network=["lab"], network_alias=["kept"])
    asking = serve("b", "sleep 100", network=["lab"])
    out = bytearray()
    server.rename("new")
    for host in ("new", "kept"):
        asking.exec("wget", "-q", "-O", "-", f"http://{host}/hostname", stdout=out.extend)
    assert out.decode().split() == [server.short_id] * 2
    with pytest.raises(Error, match="exec of wget"):
        asking.exec("wget", "-q", "-O", "-", "http://a/hostname", stdout=out.extend, stderr=out.extend)


# -- update ------------------------------------------------------------------------------------------------------------


@pytest.mark.limits
def test_update_is_in_force_at_once_and_after_the_next_start(name: str) -> None:
    container = serve(name, memory="64m")
    assert api.update(name, memory="128m", cpus=0.5, pids_limit=50, cpu_shares=512) == [name]
    for _ in range(2):
        limits = container.limits
        assert limits["memory"]["limit"] == 128 << 20
        assert limits["cpu"]["quota"] / limits["cpu"]["period"] == 0.5
        assert limits["cpu"]["shares"] == 512
        assert limits["pids"]["limit"] == 50
        container.restart(0)
    container.stop(0)
    assert container.limits["memory"]["limit"] == 128 << 20
    assert container.memory_limit == 128 << 20
    container.update(memory="32m")  # of one that does not run
    assert container.inspect()["HostConfig"]["Memory"] == 32 << 20
    container.start()
    assert container.limits["memory"]["limit"] == 32 << 20


@pytest.mark.limits
def test_an_update_that_is_refused_changes_nothing(name: str) -> None:
    held = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ready; sleep 100 & sleep 100 & wait"
    container = serve(name, held, memory="128m", pids_limit=30)
    wait_for(lambda: "ready" in container.logs())
    wait_for(lambda: container.stats()[0]["pids"] >= 3)
    before = {**container.limits}, Path(store.folder(container.engine, container.id), "config.json").read_text()
    for options, words, hint in [
        ({"memory": "8m"}, "--memory: 8 MiB is less than the", "give it at least"),
        ({"pids_limit": 2}, "--pids-limit: 2 is less than the 3 processes", "allow at least 3"),
        ({"cpu_shares": 512, "cpuset_mems": "63"}, "there is no memory node 63|no limit by the cgroup controller", ""),
        ({"cpuset_cpus": "0", "cpuset_mems": "63"}, "there is no memory node 63|no limit by the cgroup controller", ""),
        ({"cpus": 99}, "this host has", "write 0.01"),
        ({"memory_swap": "16m"}, "is below the memory limit", ""),
        ({}, "nothing was asked", "container update -m"),
    ]:
        with pytest.raises(Error, match=words) as caught:
            api.update(name, **options)
        assert hint in caught.value.hint
        now = {**container.limits}, Path(store.folder(container.engine, container.id), "config.json").read_text()
        assert now[1] == before[1]
        assert {key: now[0][key] for key in ("memory", "pids")} == {key: before[0][key] for key in ("memory", "pids")}
        assert now[0].get("cpu", {}).get("shares", 1024) == 1024


@pytest.mark.limits
def test_updates_add_up(name: str) -> None:
    container = serve(name, cpu_shares=512)
    container.update(cpus=0.5).update(pids_limit=77)
    assert container.limits["cpu"]["shares"] == 512
    assert container.limits["cpu"]["quota"] == 50_000
    assert container.limits["pids"]["limit"] == 77


def test_update_of_the_restart_policy_counts_at_the_next_end(name: str) -> None:
    container = serve(name, "sleep 0.3; exit 1")
    container.update(restart="on-failure:2")
    wait_for(lambda: container.status == "exited")
    state = container.inspect()
    assert (state["RestartCount"], state["HostConfig"]["RestartPolicy"]["Name"]) == (2, "on-failure")
    going = serve(f"{name}-b", rm=True)
    for policy, words in (("always", "with --rm there is nothing left"), ("often", "'often' is no policy")):
        with pytest.raises(InvalidArgument, match=words):
            going.update(restart=policy)


# -- wait --------------------------------------------------------------------------------------------------------------


def test_wait_for_conditions(name: str) -> None:
    container = api.create("mini", "sh", "-c", "sleep 0.3; exit 7", name=name)
    assert api.wait(name, condition="created") == [-1]
    starter = threading.Timer(0.1, container.start)
    starter.start()
    assert waiting.wait(container, "next-exit", 5) == 7
    starter.join()
    assert api.wait(name, condition="exited") == [7]
    with pytest.raises(TimeoutError, match="is exited still"):
        waiting.wait(container, "running", 0.05)
    with pytest.raises(InvalidState, match="will not be healthy: it is exited"):
        waiting.wait(container, "healthy")
    with pytest.raises(InvalidArgument, match="'asleep' is none"):
        waiting.wait(container, "asleep")
    remover = threading.Timer(0.1, container.rm)
    remover.start()
    assert waiting.wait(container, "removed", 5) == 7
    remover.join()


def test_wait_for_health(name: str) -> None:
    container = serve(name, "sleep 0.2; touch /ok; sleep 100", health_cmd="test -e /ok", health_interval="200ms")
    assert health.status(container) == "starting"
    assert waiting.wait(container, "healthy", 10) == -1
    assert api.healthcheck("run", name) == "healthy"
    assert [row["name"] for row in api.ps(filter=["health=healthy", f"name={name}"])] == [name]
    assert "(healthy)" in repr(api.ps())
    assert container.inspect()["State"]["Health"]["Status"] == "healthy"
    container.exec("rm", "/ok")
    with pytest.raises(Error, match=f"the health check of {name} failed"):
        api.healthcheck("run", name)
    other = serve(f"{name}-b")
    with pytest.raises(InvalidState, match="has no health check"):
        waiting.wait(other, "healthy")


# -- attach ------------------------------------------------------------------------------------------------------------


def test_attach_follows_to_the_end_and_gives_input(name: str) -> None:
    container = serve(name, ECHO, interactive=True)
    out = bytearray()
    with pytest.raises(Error, match="failed with exit status 4"):
        api.attach(name, stdin=b"one\nend\n", stdout=out.extend)
    assert out == b"got one\ngot end\n"
    assert container.exit_code == 4


def test_leaving_does_not_end_it_and_who_comes_back_goes_on(name: str) -> None:
    container = serve(name, ECHO, interactive=True)
    out, err = bytearray(), bytearray()

    def leave() -> None:
        if b"got one" in out:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.attach(name, stdin=b"one\n", stdout=out.extend, stderr=err.extend, tick=leave, sig_proxy=False)
    assert f"left container {name} running: container attach {name} comes back to it" in err.decode()
    assert container.status == "running"
    assert container.attach(stdin=b"two\nend\n", stdout=out.extend, raise_error=False).exit_code == 4
    assert out == b"got one\ngot two\ngot end\n"


def test_a_signal_goes_to_the_program_and_we_stay(name: str) -> None:
    container = serve(name, "trap 'echo heard; exit 3' TERM; while :; do echo tick; sleep 0.05; done")
    command = [sys.executable, "-m", "nbcontainers", "attach", name]
    attached = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert attached.stdout
    assert attached.stdout.readline() == b"tick\n"
    attached.send_signal(signal.SIGTERM)
    assert attached.communicate(timeout=20)[0].endswith(b"heard\n")
    assert attached.returncode == 3
    assert container.wait() == 3


def test_keys_leave_a_terminal_and_it_can_be_come_back_to(name: str) -> None:
    command = [sys.executable, "-m", "nbcontainers"]
    first = terminal([*command, "run", "-it", "--name", name, "mini", "sh"], "echo first$((40+2))\r", "first42")
    assert "left" not in first
    container = api.find(api.default_engine(), name)
    assert container.status == "running"
    terminal([*command, "attach", name], "echo second$((40+2))\r", "second42")
    terminal([*command, "start", "-ai", "--detach-keys", "x", name], "echo third$((40+2))\r", "third42", keys="x")
    assert container.status == "running"


def terminal(command: list[str], types: str, until: str, keys: str = "\x10\x11", status: int = 0) -> str:
    """A program on a terminal of its own: what it showed when it had ended after `keys`, with `status`."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown = bytearray()
    deadline = time.monotonic() + 20
    try:
        os.write(master, types.encode())
        while until.encode() not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(master, 1000)
        os.write(master, keys.encode())
        while time.monotonic() < deadline:
            shown += os.read(master, 1000)
    except OSError:  # EIO: it has ended
        pass
    finally:
        os.close(master)
    _, ended = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ended) == status, shown
    return shown.decode()


def test_run_attached_to_one_stream(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = bytearray(), bytearray()
    nbcontainers.run(
        "mini", "sh", "-c", "echo out; echo err >&2", attach=["stderr"], name=name, stdout=out.extend, stderr=err.extend
    )
    assert (bytes(out), bytes(err)) == (b"", b"err\n")
    assert str(api.logs(name)).split() == ["out", "err"]


# -- logs, events ------------------------------------------------------------------------------------------------------


def test_logs_of_several_in_the_order_of_time(name: str) -> None:
    for letter in "ab":
        nbcontainers.run("mini", "sh", "-c", f"echo from {letter}", name=f"{name}-{letter}", stdout=lambda _: None)
    assert str(api.logs(f"{name}-b", f"{name}-a")) == f"{name}-a | from a\n{name}-b | from b"
    assert list(api.logs(f"{name}-b", f"{name}-a").to_pandas()["container"]) == [f"{name}-a", f"{name}-b"]
    assert str(api.logs(latest=True)) == "from b"


def test_following_several_through_rotations_loses_nothing(name: str) -> None:
    count = 4000
    script = f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo line $i; done"
    both = [
        serve(f"{name}-{letter}", f"sleep 0.3; {script}", log_opt=["max-size=64k", "max-file=4"]) for letter in "ab"
    ]
    out = bytearray()
    api.logs(*both, follow=True, stdout=out.extend)
    for container in both:
        found = re.findall(rf"^{container.name} \| line (\d+)$", out.decode(), re.M)
        assert [int(number) for number in found] == list(range(1, count + 1))
    folder = store.folder(both[0].engine, both[0].id)
    assert len(list(logfile.lines(f"{folder}/log"))) < count, "it was rotated away"
    assert str(both[0].logs(tail=1)) == f"line {count}"


def test_events_are_told_as_they_come(name: str) -> None:
    seen = bytearray()
    over = threading.Event()

    def tick() -> None:
        if over.is_set():
            raise KeyboardInterrupt

    def follow() -> None:
        with pytest.raises(KeyboardInterrupt):
            system.events(follow=True, filter=[f"name={name}"], stdout=seen.extend, tick=tick)

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.2)
    container = nbcontainers.run("mini", "sh", "-c", "exit 3", name=name, raise_error=False)
    container.rm()
    wait_for(lambda: b"destroy" in seen)
    over.set()
    thread.join(5)
    told = [line.split()[2] for line in seen.decode().splitlines()]
    assert told == ["create", "start", "die", "destroy"]
    assert f"container die {container.id} (exit_code=3, image=mini, name={name}" in seen.decode()
    going = serve(name, rm=True)
    going.rm(force=True)
    assert actions(going)[-2:] == ["die", "destroy"], "its monitor and we say it once"
    rows = system.events(filter=[f"container={container.id}", "event=die"], since="1m")
    assert (rows[0]["attributes"]["exit_code"], rows[0]["name"]) == ("3", name)
    with pytest.raises(InvalidArgument, match="'colour=red' is no filter"):
        system.events(filter=["colour=red"])


# -- lists -------------------------------------------------------------------------------------------------------------


def test_filters_of_ps(name: str) -> None:
    first = api.create("mini", "true", name=f"{name}-a", label=["tier=web", "x"])
    second = nbcontainers.run("mini", "sh", "-c", "exit 3", name=f"{name}-b", raise_error=False, label=["tier=db"])
    third = serve(f"{name}-c", label=["tier=db", "x"])
    digest = first.record["image_digest"]
    for filters, expected in [
        (["status=created"], "a"), (["status=exited"], "b"), (["status=running"], "c"), (["exited=3"], "b"),
        (["status=created", "status=running"], "ac"), (["label=tier=db"], "bc"), (["label=tier=db", "label=x"], "c"),
        (["label!=x"], "b"), (["ancestor=mini"], "abc"), ([f"ancestor={digest[:19]}"], "abc"), (["ancestor=host"], ""),
        ([f"before={name}-b"], "a"), ([f"since={name}-a"], "bc"), (["health=none"], "abc"), (["health=healthy"], ""),
        (["network=none"], "abc"), (["network=lab"], ""), (["until=1h"], ""), ([f"id={third.short_id}"], "c"),
        (["volume=/data"], ""), (["publish=80"], ""), ([f"name=^{name}-[ab]$"], "ab"), (["name=-c["], ""),
    ]:  # fmt: skip
        mine = [] if any(one.startswith("name=") for one in filters) else [f"name={name}"]
        found = sorted(row["name"][-1] for row in api.ps(all=True, filter=[*filters, *mine]))
        assert "".join(found) == expected, filters
    assert api.ps(latest=True)[0]["id"] == third.id
    assert [row["id"] for row in api.ps(last=2)] == [third.id, second.id]
    for wrong, words in [
        ("status=asleep", "'asleep' is no status"), ("exited=x", "'x' is no exit status"), ("publish=x", "is no port"),
        ("health=fine", "is no health"), ("colour=red", "is no filter"), ("label", "is no filter"),
        ("before=nothing", "no container 'nothing'"), ("until=soon", "is no time"),
    ]:  # fmt: skip
        with pytest.raises(Error, match=words) as caught:
            api.ps(filter=[wrong])
        assert caught.value.hint


def test_prune_takes_what_does_not_run(name: str) -> None:
    old, running = api.create("mini", "true", name=f"{name}-a", label=["mine"]), serve(f"{name}-b", label=["mine"])
    kept = api.create("mini", "true", name=f"{name}-c")
    assert list(api.prune(filter=["label=mine", "until=1h"])) == []
    rows = api.prune(filter=["label=mine"])
    assert [row["name"] for row in rows] == [f"{name}-a"]
    assert (old.removed, running.status, kept.status) == (True, "running", "created")


@pytest.mark.limits
def test_top_and_stats_have_dockers_columns(name: str) -> None:
    container = serve(name, "while :; do :; done", user="nobody", memory="64m")
    rows = api.top(container, "user", "pid", "ppid", "hpid", "args")
    assert [column.heading for column in rows.columns] == ["USER", "PID", "PPID", "HOST PID", "COMMAND"]
    assert (rows[0]["user"], rows[0]["pid"], rows[0]["host_pid"]) == ("nobody", 1, container.pid)
    with pytest.raises(InvalidArgument, match="'colour' is no column"):
        api.top(container, "colour")
    row = api.stats(container)[0]
    assert row["cpu"] > 0
    assert row["cpu_host"] == row["cpu"] / len(os.sched_getaffinity(0))
    assert 0 < row["memory"] < row["memory_limit"] == 64 << 20
    assert row["pids"] == 1
    assert (row["net_received"], row["net_sent"]) == (0, 0)
    frame = api.stats(container).to_pandas()
    assert {"cpu", "cpu_host", "memory", "memory_part", "net_received", "io_read_bytes", "pids"} <= set(frame.columns)


def test_stats_go_on_in_a_terminal(name: str) -> None:
    serve(name)
    shown = terminal([sys.executable, "-m", "nbcontainers", "stats", name], "", "\x1b[H\x1b[J", keys="\x03", status=130)
    assert name in shown
    once = subprocess.run([sys.executable, "-m", "nbcontainers", "stats", name], capture_output=True, check=True)
    assert once.stdout.count(name.encode()) == 1


# -- options of run and exec -------------------------------------------------------------------------------------------


def output(*words: str, run: Callable[..., object] = nbcontainers.run, **options: object) -> str:
    out = bytearray()
    run("mini", *words, stdout=out.extend, **({"rm": True} | options))
    return out.decode().strip()


def test_options_that_the_program_sees(name: str, tmp_path: Path) -> None:
    seen = "cat /proc/sys/kernel/domainname /proc/self/oom_score_adj"
    assert output("sh", "-c", seen, domainname="lab", oom_score_adj=700).split() == ["lab", "700"]
    (tmp_path / "variables").write_text("A=1\nB=2\n")
    container = serve(name, annotation=["a.b=c"], cidfile=str(tmp_path / "id"))
    assert (tmp_path / "id").read_text() == container.id
    assert container.inspect()["config"]["annotations"]["a.b"] == "c"
    out = bytearray()
    api.exec_(name, "sh", "-c", "echo $A$B$C", env_file=[str(tmp_path / "variables")], env=["C=3"], stdout=out.extend)
    assert out == b"123\n"
    with pytest.raises(InvalidArgument, match="File exists") as caught:
        nbcontainers.run("mini", "true", cidfile=str(tmp_path / "id"))
    assert "rm " in caught.value.hint


def test_a_container_that_was_not_made_leaves_no_cidfile(name: str, tmp_path: Path) -> None:
    serve(name)
    with pytest.raises(NameInUse):
        nbcontainers.run("mini", "true", name=name, cidfile=str(tmp_path / "id"))
    assert not (tmp_path / "id").exists()


@pytest.mark.as_root
def test_options_of_its_cgroup(name: str) -> None:
    """The parent is whoever's it is, and stays."""
    parent = f"/nbc-test-{uuid.uuid4().hex[:6]}"
    container = serve(name, cgroup_parent=f"{parent}/students", cgroupns="host", memory="64m", cpu_quota=20000)
    try:
        assert container.limits["cpu"]["quota"] == 20000
        out = bytearray()
        api.exec_(name, "cat", "/proc/1/cgroup", stdout=out.extend)
        assert f"{parent}/students/{container.id}" in out.decode()
    finally:
        container.rm(force=True)
        found = [
            *Path("/sys/fs/cgroup").glob(f"*{parent}/students"),
            *Path("/sys/fs/cgroup").glob(f"{parent[1:]}/students"),
        ]
        assert found
        for folder in found:
            folder.rmdir()
            folder.parent.rmdir()
