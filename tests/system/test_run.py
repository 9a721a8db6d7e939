"""`run` as Docker and Podman have it: statuses, environment, users, mounts, limits, names."""

from __future__ import annotations

import os
import signal
import time
import uuid
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers.container import api
from nbcontainers.errors import (
    ContainerFailed,
    CreateFailed,
    HostNotCapable,
    InvalidArgument,
    InvalidState,
    NameInUse,
    NotFound,
)
from nbcontainers.monitor import restart
from tests import monitored

ROOT = os.geteuid() == 0
TAKEN = (".gone", ".removed")


class Ran:
    """A container that has ended and removed itself, with what it wrote."""

    def __init__(self, *words, image="mini", **options):
        self.out, self.err = bytearray(), bytearray()
        options = {"rm": True, "raise_error": False, **options}
        self.container = nbcontainers.run(image, *words, stdout=self.out.extend, stderr=self.err.extend, **options)

    @property
    def text(self):
        return self.out.decode().rstrip("\n")

    @property
    def code(self):
        return self.container.exit_code


def sh(script, **options):
    """The output of a script in a container."""
    ran = Ran("sh", "-c", script, **options)
    assert ran.code == 0, (ran.code, ran.text, bytes(ran.err).decode())
    return ran.text


def wait_for(container, text):
    """Until the container has written that."""
    for _ in range(250):
        if text in container.logs():
            return
        time.sleep(0.02)
    pytest.fail(f"{container} never wrote {text!r}: {container.logs()}")


def folders(engine):
    """Without what a monitor has taken from sight; it removes that once its client has heard of the end. A container
    that was begun ahead keeps its record in the run folder, hidden."""
    places = (engine.containers, engine.run)
    monitored.wait_for(lambda: not [name for place in places for name in os.listdir(place) if name.endswith(TAKEN)])
    found = [name for place in (*places, engine.names) for name in os.listdir(place)]
    return sorted(name for name in found if not name.endswith(".claim"))


@pytest.fixture(autouse=True)
def nothing_on_disk(engine):
    """No folder, no name and no state of a container stays behind."""
    before = folders(engine)
    yield
    assert folders(engine) == before


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_hello(name):
    container = nbcontainers.run("mini", "echo", "hi", name=name, stdout=(out := bytearray()).extend)
    assert bytes(out) == b"hi\n"
    assert (container.exit_code, container.reason, container.signal, container.oom_killed) == (0, "exited", None, False)
    assert container.status == "exited"
    assert str(container.logs()) == "hi"
    assert container.wall_s > 0
    assert container.finished_at > container.started_at > container.created


@pytest.mark.parametrize(
    ("words", "code", "signal", "reason"),
    [
        (("true",), 0, None, "exited"),
        (("false",), 1, None, "exited"),
        (("sh", "-c", "exit 42"), 42, None, "exited"),
        (("sh", "-c", "exit 255"), 255, None, "exited"),
        (("sh", "-c", "kill -9 $$; sleep 5"), 0, None, "exited"),  # pid 1 of a namespace cannot kill itself
        (("sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"), 139, None, "exited"),
    ],
)
def test_exit_status(words, code, signal, reason):
    if "sleep 5" in words[-1]:
        words = ("sh", "-c", "kill -9 $$; exit 0")
    ran = Ran(*words)
    assert (ran.code, ran.container.signal, ran.container.reason) == (code, signal, reason)


def test_a_failure_says_what_and_what_next(name):
    with pytest.raises(ContainerFailed) as caught:
        nbcontainers.run("mini", "sh", "-c", "echo no such thing >&2; exit 3", name=name, stderr=lambda _: None)
    error = caught.value
    assert error.message.startswith(f"container {name} failed with exit status 3 after ")
    assert error.message.endswith("It last wrote: no such thing")
    assert error.hint == f"all it wrote: container logs {name}"
    assert (error.exit_code, error.signal, error.oom_killed) == (3, None, False)
    assert len(error._render_traceback_()) <= 5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nosuchprogram",), 127, "nosuchprogram: executable file not found in $PATH"),
        (("/no/such/program",), 127, "no such file or directory"),
        (("/etc",), 126, "/etc"),
        (("/etc/passwd",), 126, "permission denied"),
    ],
)
def test_what_cannot_be_executed(words, code, message, name):
    with pytest.raises(CreateFailed) as caught:
        nbcontainers.run("mini", *words, name=name)
    assert caught.value.exit_code == code
    assert message in caught.value.message
    assert caught.value.hint
    assert (caught.value.container.name, caught.value.container.exit_code) == (name, code)
    ran = Ran(*words)
    assert (ran.code, ran.container.reason) == (code, "error")


def test_a_removed_container_still_tells_everything():
    ran = Ran("sh", "-c", "echo out; echo err >&2; exit 2")
    container = ran.container
    assert container.removed
    assert (container.exit_code, container.status) == (2, "exited")
    assert container.logs().stdout == "out\n"
    assert container.logs().stderr == "err\n"
    assert container.usage["pids_peak"] in (None, 1, 2)
    assert len(container.metrics()) >= 1
    assert container.name in container._repr_mimebundle_()["text/plain"]


def test_what_a_short_container_wrote_is_not_lost_by_a_slow_client(monkeypatch):
    from nbcontainers.launcher import client

    spawn = client.spawn

    def slowly(*arguments, **options):
        channel = spawn(*arguments, **options)
        time.sleep(0.5)  # by then the container has ended and removed itself
        return channel

    monkeypatch.setattr(client, "spawn", slowly)
    container = Ran("echo", "out").container
    assert container.removed
    assert container.logs().stdout == "out\n"
    assert len(container.metrics()) >= 1


# -- what it is given --------------------------------------------------------------------------------------------------


def test_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "from here")
    (tmp_path / "env").write_text("FILE=1\nBOTH=file\n")
    text = sh("echo $FILE/$BOTH/$OURS/$PLAIN/$HOSTNAME/$HOME",
              env=["BOTH=option", "OURS", "PLAIN=a b"], env_file=[str(tmp_path / "env")], hostname="box")  # fmt: skip
    assert text == "1/option/from here/a b/box/root".replace("/root", "//root")


def test_nothing_of_our_environment_comes_along(monkeypatch):
    monkeypatch.setenv("SECRET_OF_OURS", "x")
    assert "SECRET_OF_OURS" not in sh("env")


def test_working_directory():
    assert sh("pwd", workdir="/tmp") == "/tmp"
    assert sh("pwd") == "/"


def test_a_missing_working_directory_is_made_as_docker_does():
    assert sh("pwd", workdir="/no/such/folder") == "/no/such/folder"


@pytest.mark.parametrize(
    ("user", "identity"),
    [("", "0:0"), ("root", "0:0"), ("1000", "1000:0"), ("1000:50", "1000:50"), ("nobody", "65534:65534")],
)
def test_users(user, identity):
    if not ROOT and identity[0] != "0" and not _many_ids():
        pytest.skip("no newuidmap: only our own id exists inside")
    assert sh("echo $(id -u):$(id -g)", user=user) == identity


def _many_ids():
    from nbcontainers.container.host import Host

    return not Host(rootless=True).one_id


def test_groups_are_the_images_and_never_ours():
    if not ROOT and not _many_ids():
        pytest.skip("no newuidmap: only our own id exists inside")
    assert sh("id -G") == "0"
    assert sh("id -G", user="1000:50", group_add=["77"]) == "50 77"


@pytest.mark.parametrize("user", ["nosuchuser", "1e3", "0x0", "root:nosuchgroup"])
def test_an_unknown_user(user):
    with pytest.raises(NotFound, match=r"the image mini has no (user|group)") as caught:
        nbcontainers.run("mini", "true", user=user)
    assert "any number works too" in caught.value.hint


def test_stdin():
    assert Ran("cat", stdin=b"one\ntwo").text == "one\ntwo"
    assert Ran("wc", "-c", stdin=b"x" * 1_000_000).text.strip() == "1000000"
    assert Ran("cat").text == ""


def test_stdin_from_a_file(tmp_path):
    (tmp_path / "in").write_text("from a file")
    with open(tmp_path / "in", "rb") as file:
        assert Ran("cat", stdin=file).text == "from a file"


def test_large_output_arrives_whole_and_in_order():
    ran = Ran("sh", "-c", "seq 1 200000")
    assert ran.text.split("\n") == [str(n) for n in range(1, 200001)]


def test_streams_are_kept_apart():
    ran = Ran("sh", "-c", "echo a; echo b >&2")
    assert (bytes(ran.out), bytes(ran.err)) == (b"a\n", b"b\n")


def test_a_terminal():
    ran = Ran("sh", "-c", "test -t 0 && test -t 1 && tty && echo $TERM", tty=True)
    assert ran.text.replace("\r", "") == "/dev/pts/0\nxterm"


def test_hostname():
    assert sh("hostname; cat /etc/hostname", hostname="web") == "web\nweb"
    assert len(sh("hostname")) == 12
    assert sh("hostname", uts="host") == os.uname().nodename


def test_its_own_files_resolve_localhost_and_itself():
    text = sh("cat /etc/hosts", hostname="web")
    assert "127.0.0.1\tlocalhost" in text
    assert "web" in text


# -- mounts ------------------------------------------------------------------------------------------------------------


def test_a_bind_mount(tmp_path):
    (tmp_path / "a").write_text("host")
    assert sh("cat /data/a; echo new > /data/b", volume=[f"{tmp_path}:/data"]) == "host"
    assert (tmp_path / "b").read_text() == "new\n"
    ran = Ran("sh", "-c", "echo x > /data/c", volume=[f"{tmp_path}:/data:ro"])
    assert ran.code != 0
    assert b"ead-only" in ran.err
    assert not (tmp_path / "c").exists()


def test_a_single_file_and_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("one file")
    monkeypatch.chdir(tmp_path)
    assert sh("cat /x/y/z", volume=["./a:/x/y/z:ro"]) == "one file"


def test_a_named_volume_outlives_its_containers(engine):
    volume = f"v{uuid.uuid4().hex[:8]}"
    try:
        sh("echo kept > /data/a", volume=[f"{volume}:/data"])
        assert sh("cat /data/a", mount=[f"type=volume,source={volume},target=/data,readonly"]) == "kept"
    finally:
        import shutil

        shutil.rmtree(engine.root / "volumes" / volume)


def test_anonymous_volumes_go_with_rm(engine, name):
    container = nbcontainers.run("mini", "sh", "-c", "echo x > /data/a", volume=["/data"], name=name)
    volume = container.record["anonymous_volumes"][0]
    assert (engine.root / "volumes" / volume / "_data" / "a").read_text() == "x\n"
    container.rm(volumes=True)
    assert not (engine.root / "volumes" / volume).exists()
    before = os.listdir(engine.root / "volumes")
    sh("echo x > /data/a", volume=["/data"])
    assert os.listdir(engine.root / "volumes") == before


def test_tmpfs():
    text = sh("mount | grep ' /t '; echo x > /t/a; cat /t/a", tmpfs=["/t:size=64k"])
    assert "size=64k" in text
    assert "noexec" in text
    assert text.endswith("x")


def test_read_only():
    ran = Ran("sh", "-c", "echo x > /file", read_only=True)
    assert b"ead-only" in ran.err
    assert sh("echo x > /tmp/a && cat /tmp/a", read_only=True, tmpfs=["/tmp"]) == "x"


def test_shm_size():
    assert sh("df -k /dev/shm | tail -1 | awk '{print $2}'", shm_size="1m") == "1024"


def test_what_one_writes_another_does_not_see():
    sh("echo x > /root/a")
    assert sh("ls /root") == ""


# -- privileges --------------------------------------------------------------------------------------------------------


def _capabilities(**options):
    import re

    text = sh("cat /proc/1/status", **options)
    return {key: int(value, 16) for key, value in re.findall(r"Cap(\w+):\s+(\w+)", text)} | {
        "NoNewPrivs": int(re.search(r"NoNewPrivs:\s+(\d)", text)[1]), "Seccomp": int(re.search(r"Seccomp:\s+(\d)", text)[1])
    }  # fmt: skip


def test_default_privileges():
    from nbcontainers.container.defaults import CAPABILITIES
    from nbcontainers.linux.capabilities import mask

    found = _capabilities()
    assert found["Eff"] == found["Prm"] == found["Bnd"] == mask(CAPABILITIES)
    assert found["Inh"] == found["Amb"] == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == (1, 2)


def test_capabilities_added_and_dropped():
    from nbcontainers.linux.capabilities import mask

    assert _capabilities(cap_drop=["ALL"], cap_add=["NET_RAW"])["Eff"] == mask(["CAP_NET_RAW"])
    assert _capabilities(cap_drop=["ALL"])["Bnd"] == 0
    assert _capabilities(security_opt=["no-new-privileges=false", "seccomp=unconfined"])["NoNewPrivs"] == 0


def test_a_user_has_no_capabilities():
    if not ROOT and not _many_ids():
        pytest.skip("no newuidmap: only our own id exists inside")
    found = _capabilities(user="1000")
    assert found["Eff"] == found["Prm"] == found["Amb"] == found["Inh"] == 0


@pytest.mark.as_root
def test_privileged_has_what_we_have():
    found = _capabilities(privileged=True)
    ours = int(
        next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm")).split()[
            1
        ],
        16,
    )
    assert found["Eff"] == ours
    assert found["Seccomp"] == 0
    assert sh("test -c /dev/kmsg && echo yes", privileged=True) == "yes"


def test_a_device():
    assert sh("ls -l /dev/x | cut -c1", device=["/dev/zero:/dev/x:r"]) == "c"
    assert sh("head -c 2 /dev/x | wc -c", device=["/dev/zero:/dev/x:r"]) == "2"


def test_init_is_pid_1_and_reaps():
    text = sh("cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$", init=True)
    assert text.split("\n")[0].startswith("/dev/init -- sh")
    assert text.split("\n")[1] != "1"


def test_namespaces_are_its_own():
    ours = {
        kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup", "time")
    }
    theirs = dict(
        zip(ours, sh(f"for k in {' '.join(ours)}; do readlink /proc/self/ns/$k; done").split("\n"), strict=True)
    )
    assert not [kind for kind in ours if ours[kind] == theirs[kind]]
    assert sh("readlink /proc/self/ns/net", network="host") == ours["net"]
    assert sh("readlink /proc/self/ns/ipc", ipc="host") == ours["ipc"]
    assert sh("readlink /proc/self/ns/pid", pid="host") == ours["pid"]


@pytest.mark.as_root
def test_a_user_without_no_new_privileges_is_filtered_too():
    asked = {"user": "5", "security_opt": ["no-new-privileges=false"]}
    assert sh("id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status", **asked).split() == [
        "5", "CapEff:", "0" * 16, "NoNewPrivs:", "0", "Seccomp:", "2",
    ]  # fmt: skip


def test_network_none_is_a_loopback_that_works():
    assert sh("ls /sys/class/net") == "lo"
    assert "127.0.0.1" in sh("cat /proc/net/fib_trie")


def test_sysctl():
    assert sh("cat /proc/sys/net/core/somaxconn", sysctl=["net.core.somaxconn=77"]) == "77"


# -- limits ------------------------------------------------------------------------------------------------------------


def test_ulimits():
    assert sh("ulimit -n; ulimit -Hn; ulimit -c", ulimit=["nofile=100:200"]) == "100\n200\n0"


@pytest.mark.limits
def test_limits_are_read_back_from_the_kernel():
    ran = Ran("true", memory="64m", cpus=0.5, pids_limit=33, cpu_shares=512)
    limits = ran.container.limits
    assert limits["memory"]["limit"] == 64 << 20
    assert limits["cpu"]["quota"] / limits["cpu"]["period"] == 0.5
    assert limits["pids"]["limit"] == 33


@pytest.mark.limits
def test_running_out_of_memory_says_limit_and_peak(name):
    with pytest.raises(ContainerFailed) as caught:
        nbcontainers.run(
            "host", "python3", "-c", "x = bytearray(1 << 28)", memory="64m", name=name, stderr=lambda _: None
        )
    error = caught.value
    assert error.message.startswith(f"container {name} was killed for lack of memory after ")
    assert ": it reached its limit of 64 MiB (peak 6" in error.message
    assert error.message.endswith(" MiB, exit 137)")
    assert "-m 128m" in error.hint
    assert error.oom_killed
    container = api.find(api.default_engine(), name)
    assert (container.reason, container.exit_code, container.oom_killed) == ("oom", 137, True)
    assert container.oom_kills >= 1
    assert 60 << 20 < container.memory_peak <= 64 << 20
    assert "out of memory" in repr(api.ps(all=True))


def test_a_kill_is_told_apart_from_running_out_of_memory(name):
    container = nbcontainers.run("mini", "sleep", "60", name=name, detach=True)
    api.kill(container)
    assert container.wait() == 137
    assert (container.reason, container.signal, container.oom_killed) == ("signal", 9, False)
    from nbcontainers.container.failure import container_failed

    error = container_failed(container.record, container.ended)
    assert "was ended by SIGKILL (exit 137) after" in error.message
    assert ", not for lack of memory" in error.message
    assert "container kill" in error.hint


def test_a_kill_that_the_monitor_forestalls_is_a_kill(name, monkeypatch):
    """A monitor that finds itself held right after the start ends its container by itself."""
    container = nbcontainers.run("mini", "sleep", "60", name=name, detach=True)
    hold = restart.hold

    def slowly(state):
        hold(state)
        if pid := container.pid:
            os.kill(pid, signal.SIGKILL)
        container.wait()

    monkeypatch.setattr(restart, "hold", slowly)
    assert api.kill(container) == [name]
    with pytest.raises(InvalidState, match=f"container {name} is not running: it is exited"):
        api.kill(container)


@pytest.mark.limits
def test_a_fork_bomb_stops_at_its_limit():
    ran = Ran("sh", "-c", "for i in $(seq 100); do sleep 1 & done; wait", pids_limit=20)
    assert b"fork" in ran.err.lower() or b"resource" in ran.err.lower()
    assert ran.container.pids_peak == 20
    assert ran.container.limits["pids"]["limit"] == 20


@pytest.mark.limits
@pytest.mark.slow
def test_half_a_processor_is_half_a_processor():
    """More than half must never be had; a host busy with other work may give less, so it has three chances."""
    for _ in range(3):
        ran = Ran("sh", "-c", "timeout 3 sh -c 'while :; do :; done'; true", cpus=0.5)
        share = ran.container.cpu_s / ran.container.wall_s
        assert share < 0.55
        if share > 0.45:
            break
    busy = os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)
    assert share > 0.45 or busy
    assert ran.container.throttled_s > 0 or busy


# -- names and life ----------------------------------------------------------------------------------------------------


def test_a_name_taken(name):
    first = nbcontainers.run("mini", "true", name=name)
    with pytest.raises(NameInUse) as caught:
        nbcontainers.run("mini", "true", name=name)
    assert caught.value.message == f"the name {name!r} is in use by container {first.short_id}"
    assert caught.value.hint == f"add --replace to remove that one first, or type container rm -f {name}"
    second = nbcontainers.run("mini", "true", name=name, replace=True)
    assert first.removed
    assert second.name == name


def test_names_are_made_up():
    container = nbcontainers.run("mini", "true")
    assert container.name.count("_") == 1
    container.rm()


def test_a_container_is_found_by_name_id_and_prefix(name):
    container = nbcontainers.run("mini", "true", name=name)
    for reference in (name, container.id, container.short_id, container.id[:5], container):
        assert api.inspect(reference)[0]["Id"] == container.id
    with pytest.raises(NotFound) as caught:
        api.inspect(name[:-1])
    assert f"did you mean {name}" in caught.value.hint


def test_detached_life(name):
    container = nbcontainers.run("mini", "sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done",
                                 name=name, detach=True)  # fmt: skip
    assert container.status == "running"
    assert container.running
    assert os.path.exists(f"/proc/{container.pid}")
    assert [row["name"] for row in api.ps(filter=[f"name={name}"])] == [name]
    with pytest.raises(InvalidState, match="is running"):
        api.rm(name)
    assert api.start(name) == container  # fine, as in Docker
    with pytest.raises(TimeoutError, match="still runs"):
        container.wait(0.05)
    wait_for(container, "up")
    assert api.stop(name) == [name]
    assert (container.exit_code, container.status, container.pid) == (7, "exited", None)
    assert str(container.logs()) == "up\nbye"
    assert api.wait(name) == [7]


def test_create_start_and_again(name):
    container = api.create("mini", "sh", "-c", "echo run >> /root/log; cat /root/log", name=name)
    assert container.status == "created"
    with pytest.raises(InvalidState, match="it is created"):
        container.wait()
    out = bytearray()
    api.start(container, attach=True, stdout=out.extend)
    assert bytes(out) == b"run\n"
    api.start(container, attach=True, stdout=out.extend)
    assert bytes(out) == b"run\nrun\nrun\n"


def test_stop_kills_after_its_time(name):
    container = nbcontainers.run(
        "mini", "sh", "-c", "trap true TERM; echo up; while :; do sleep 0.1; done", name=name, detach=True
    )
    wait_for(container, "up")
    started = time.monotonic()
    api.stop(container, time=1)
    assert 0.9 < time.monotonic() - started < 5
    assert container.exit_code == 137


def test_stop_does_not_wait_for_a_program_that_cannot_hear(name):
    """pid 1 drops a signal it does not catch: pid_namespaces(7)."""
    container = nbcontainers.run("mini", "sleep", "60", name=name, detach=True)
    started = time.monotonic()
    api.stop(container)
    assert time.monotonic() - started < 3
    assert container.exit_code == 137


def test_rm_force_and_context_manager(name):
    container = nbcontainers.run("mini", "sleep", "60", name=name, detach=True)
    pid = container.pid
    api.rm(container, force=True)
    assert container.removed
    assert not os.path.exists(f"/proc/{pid}")
    with nbcontainers.run("mini", "sleep", "60", detach=True) as other:
        assert other.running
    assert other.removed
    assert repr(other) == f"<Container {other.short_id} removed>"


def test_detached_with_rm_goes_by_itself(name):
    container = nbcontainers.run("mini", "sh", "-c", "sleep 0.3; exit 6", name=name, detach=True, rm=True)
    with pytest.raises(TimeoutError, match="still runs"):
        container.wait(0.05)
    assert container.wait(10) == 6
    for _ in range(200):
        if container.removed:
            break
        time.sleep(0.02)
    assert container.removed


def test_logs(name):
    container = nbcontainers.run("mini", "sh", "-c", "for i in 1 2 3; do echo $i; done; echo e >&2", name=name,
                                 stdout=lambda _: None, stderr=lambda _: None)  # fmt: skip
    assert str(api.logs(container, tail=2)).split("\n")[-1] in ("e", "3")
    assert len(api.logs(container)) == 4
    frame = api.logs(container).to_pandas()
    assert sorted(frame["log"]) == ["1", "2", "3", "e"]
    assert str(api.logs(container, since="1h")) == str(api.logs(container))
    assert str(api.logs(container, until="1h")) == ""
    assert str(api.logs(container, timestamps=True)).startswith("20")
    with pytest.raises(InvalidArgument, match="is no time"):
        api.logs(container, since="soon")


def test_logs_are_followed_to_the_end(name):
    container = nbcontainers.run(
        "mini", "sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.1; done", name=name, detach=True
    )
    out = bytearray()
    api.logs(container, follow=True, stdout=out.extend)
    assert bytes(out) == b"1\n2\n3\n4\n"


# -- exec, top, stats --------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper(name):
    return nbcontainers.run("mini", "sleep", "100", name=name, detach=True, env=["A=1"], workdir="/tmp")


def test_exec(sleeper):
    out = bytearray()
    done = api.exec_(sleeper, "sh", "-c", "echo $A $B; pwd; cat /proc/1/comm", env=["B=2"], stdout=out.extend)
    assert bytes(out) == b"1 2\n/tmp\nsleep\n"
    assert done.exit_code == 0
    assert api.exec_(sleeper, "sh", "-c", "exit 4", raise_error=False).exit_code == 4
    with pytest.raises(ContainerFailed, match=r"exec of sh: .* failed with exit status 4") as failed:
        api.exec_(sleeper, "sh", "-c", "exit 4")
    assert failed.value.container == sleeper
    with pytest.raises(CreateFailed) as caught:
        api.exec_(sleeper, "nosuchprogram")
    assert caught.value.exit_code == 127
    out = bytearray()
    assert api.exec_(sleeper, "cat", stdin=b"input", stdout=out.extend).exit_code == 0
    assert bytes(out) == b"input"


def test_exec_as_another_user_has_no_capabilities(sleeper):
    if not ROOT and not _many_ids():
        pytest.skip("no newuidmap: only our own id exists inside")
    out = bytearray()
    api.exec_(
        sleeper,
        "sh",
        "-c",
        "id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status",
        user="1000",
        stdout=out.extend,
    )
    lines = out.decode().split()
    assert lines[0] == "1000"
    assert int(lines[lines.index("CapEff:") + 1], 16) == 0
    assert lines[lines.index("NoNewPrivs:") + 1] == "1"
    assert lines[lines.index("Seccomp:") + 1] == "2"


def test_exec_where_nothing_runs(name):
    nbcontainers.run("mini", "true", name=name)
    with pytest.raises(InvalidState, match="it is exited") as caught:
        api.exec_(name, "true")
    assert f"container start {name}" in caught.value.hint


def test_top_and_stats(sleeper):
    api.exec_(sleeper, "sleep", "99", detach=True)
    rows = list(api.top(sleeper))
    assert {row["command"] for row in rows} >= {"sleep 100", "sleep 99"}
    assert 1 in [row["pid"] for row in rows]
    row = api.stats(sleeper)[0]
    assert row["name"] == sleeper.name
    assert "CPU %" in repr(api.stats(sleeper))


def test_inspect(sleeper):
    found = api.inspect(sleeper)[0]
    assert found["State"]["Status"] == "running"
    assert found["State"]["Pid"] == sleeper.pid
    assert found["Name"] == sleeper.name
    assert (found["Path"], found["Args"]) == ("sleep", ["100"])
    assert found["State"]["StartedAt"] > found["Created"]
    assert found["config"]["process"]["args"] == ["sleep", "100"]


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "words", "options", "kind", "message", "hint"),
    [
        ("minii", ["true"], {}, NotFound, "no image 'minii'", "did you mean mini"),
        ("mini", ["true"], {"memroy": "1g"}, InvalidArgument, "no option 'memroy'", "memory"),
        ("mini", ["true"], {"memory": "1m"}, InvalidArgument, "below what can work", "6m"),
        ("mini", ["true"], {"memory": "lots"}, InvalidArgument, "is no size", "256m"),
        ("mini", ["true"], {"cpus": 1000}, InvalidArgument, "this host has", "0.01 to"),
        (
            "mini",
            ["true"],
            {"mount": ["type=bind,src=/no/such,dst=/x"]},
            NotFound,
            "/no/such does not exist",
            "mkdir -p /no/such",
        ),
        ("mini", ["true"], {"user": "nosuchuser"}, NotFound, "has no user 'nosuchuser'", "root"),
        ("mini", ["nosuchprogram"], {}, CreateFailed, "not found", "container run mini"),
        ("mini", ["true"], {"network": "a/b"}, InvalidArgument, "is no name of a network", "container:NAME"),
        ("mini", ["true"], {"network": ["none", "host"]}, InvalidArgument, "cannot be combined", "leave one"),
        ("mini", ["true"], {"network": "none", "publish": "80"}, InvalidArgument, "has no network", "--network nbc"),
        ("mini", ["true"], {"network": "host", "ip": "10.0.0.2"}, InvalidArgument, "has the host's network", "name a"),
        ("mini", ["true"], {"name": "a/b"}, InvalidArgument, "is no name", "letters"),
        ("mini", ["true"], {"name": ".."}, InvalidArgument, "is no name", "letters"),
        ("mini", ["true"], {"device": ["/dev/nothing"]}, InvalidArgument, "/dev/nothing", "ls -l /dev"),
        ("mini", ["true"], {"env_file": ["/no/such"]}, InvalidArgument, "cannot read /no/such", "NAME=VALUE"),
        ("mini", ["true"], {"security_opt": ["seccomp=/no/such"]}, InvalidArgument, "/no/such", "seccomp"),
        ("mini", ["true"], {"sysctl": ["vm.swappiness=1"]}, InvalidArgument, "whole host", "net."),
        ("mini", ["true"], {"sysctl": ["net.no.such=1"]}, CreateFailed, "net.no.such", ""),
        ("mini", ["true"], {"sysctl": ["net.ipv4.ip_forward=x"]}, CreateFailed, "/proc/sys/net/ipv4/ip_forward", ""),
        (5, ["true"], {}, InvalidArgument, "not by 5", "NAME[:TAG]"),
        ("mini", ["cat"], {"stdin": [b"x"]}, InvalidArgument, "cannot be read", "bytes, text or an open file"),
        ("mini", ["true"], {"stdout": 1}, InvalidArgument, "stdout=1 cannot be called", "a function that takes bytes"),
        ("mini", ["true"], {"replace": True}, InvalidArgument, "--replace needs a name", "--name"),
        ("mini", ["x\0y"], {}, InvalidArgument, "NUL", ""),
        (
            "mini",
            ["true"],
            {"ulimit": ["nofile=999999999"]},
            HostNotCapable,
            "our own hard limit is",
            "--ulimit nofile=",
        ),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(image, words, options, kind, message, hint, engine):
    if kind is HostNotCapable:
        from nbcontainers.container.host import this_host

        if this_host(not ROOT).raises_limits:
            pytest.skip("this host may raise hard limits")
    before = folders(engine)
    with pytest.raises(kind) as caught:
        nbcontainers.run(image, *words, **options)
    assert message in caught.value.message.replace("/", ".") or message in caught.value.message
    assert hint in caught.value.hint
    assert folders(engine) == before


def test_no_command(tmp_path):
    with pytest.raises(InvalidArgument, match="there is no command") as caught:
        nbcontainers.run("mini", entrypoint="")
    assert "type one after the image" in caught.value.hint


@pytest.mark.without_limits
def test_a_limit_that_cannot_be_enforced_is_an_error(engine):
    with pytest.raises(HostNotCapable) as caught:
        nbcontainers.run("mini", "true", memory="64m")
    assert "memory" in str(caught.value)
    assert caught.value.hint
