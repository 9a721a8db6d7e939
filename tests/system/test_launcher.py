"""The launcher: calls, events, errors, interrupts, deaths, and what it does not leak."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import Error, InvalidArgument, LauncherDied
from nbcontainers.launcher import client

HERE = "tests.system.launcher_targets"


@pytest.fixture(autouse=True, scope="module")
def _targets() -> Iterator[None]:
    """A launcher that finds the targets of this module, also where the package is installed elsewhere."""
    top = str(Path(__file__).parents[2])
    client.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_BOOT", client._BOOT.replace(";", f"; sys.path.append({top!r});", 1))
        yield
        client.close()


def process() -> int:
    """The launcher's pid."""
    return client._current().process.pid


def test_a_call_returns_json() -> None:
    assert client.call("posixpath:join", a="/a") == "/a"
    assert client.call("json:loads", s='{"x": [1, "ü"]}') == {"x": [1, "ü"]}


def test_descriptors_go_with_a_call(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        client.call(f"{HERE}:write_to", fds=[write], text="through a pipe")
        assert os.read(read, 100) == b"through a pipe"
    finally:
        os.close(read)
        os.close(write)


def test_events_come_while_it_runs_and_in_order() -> None:
    seen: list[dict[str, Any]] = []
    assert client.call(f"{HERE}:count", on_event=seen.append, to=5) == "counted"
    assert seen == [{"n": n} for n in range(5)]


def test_our_errors_come_back_as_they_were() -> None:
    with pytest.raises(InvalidArgument, match="no such thing") as caught:
        client.call(f"{HERE}:refuse", message="no such thing")
    assert caught.value.hint == "type something else"
    assert caught.value.details == {"path": "/x"}


def test_other_exceptions_bring_their_traceback_along() -> None:
    with pytest.raises(Error, match=r"the helper process failed: ZeroDivisionError: division by zero") as caught:
        client.call(f"{HERE}:divide", by=0)
    assert "in divide" in caught.value.details["traceback"]
    with pytest.raises(Error, match="ModuleNotFoundError: No module named 'nowhere'"):
        client.call("nowhere:at_all")


def test_arguments_larger_than_any_socket_buffer() -> None:
    text = "ü" * 3_000_000
    assert client.call(f"{HERE}:echo", value=text) == text


def test_many_threads_share_one_launcher() -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(client.call(f"{HERE}:echo", value=n))) for n in range(40)
    ]
    before = process()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(40))
    assert process() == before


def test_children_and_launcher_keep_no_descriptor_of_others() -> None:
    read, write = os.pipe()
    first = client.call(f"{HERE}:descriptors")
    for _ in range(20):
        client.call(f"{HERE}:write_to", fds=[write], text="x")
    assert client.call(f"{HERE}:descriptors") == first
    assert len(os.listdir(f"/proc/{process()}/fd")) <= 8
    os.close(write)
    assert os.read(read, 100) == b"x" * 20
    assert os.read(read, 100) == b""  # nobody else has it open
    os.close(read)


def test_no_zombies() -> None:
    for _ in range(10):
        client.call("os:getpid")
    time.sleep(0.1)
    states = [state for _, state in children(process())]
    assert "Z" not in states


def children(pid: int) -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append((int(name), fields[0]))
    return found


def test_a_call_whose_process_dies_is_an_error_and_the_next_one_works() -> None:
    with pytest.raises(LauncherDied, match=r"launcher_targets:die ended without an answer") as caught:
        client.call(f"{HERE}:die")
    assert "next call starts a new launcher" in caught.value.hint
    assert client.call(f"{HERE}:echo", value=7) == 7


@pytest.mark.leaks("another launcher takes the place of the one before")
def test_a_killed_launcher_is_replaced_at_the_next_call() -> None:
    old = process()
    os.kill(old, signal.SIGKILL)
    assert client.call(f"{HERE}:echo", value="again") == "again"
    assert process() != old


@pytest.mark.leaks("another launcher takes the place of the one before")
def test_it_is_replaced_when_it_dies_with_our_request_in_its_socket() -> None:
    client.call("os:getpid")
    old = process()
    os.kill(old, signal.SIGSTOP)
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(client.call(f"{HERE}:echo", value="late")))
    thread.start()
    time.sleep(0.1)
    os.kill(old, signal.SIGKILL)
    thread.join(20)
    assert result == ["late"]


def test_an_interrupt_reaches_the_child_and_its_clean_up_is_awaited(tmp_path: Path) -> None:
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.call(f"{HERE}:sleep_and_tidy", seconds=30, path=str(tmp_path / "tidied"))
    assert 0.2 < time.monotonic() - begun < 5
    assert (tmp_path / "tidied").exists()
    assert client.call(f"{HERE}:echo", value=1) == 1


def test_a_second_interrupt_kills(tmp_path: Path) -> None:
    for delay in (0.3, 0.6):
        threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.call(f"{HERE}:stubborn", seconds=30)
    assert time.monotonic() - begun < 5


def test_a_listener_that_fails_ends_the_call() -> None:
    def fail(event: dict[str, Any]) -> None:
        raise RuntimeError("listener")

    with pytest.raises(RuntimeError, match="listener"):
        client.call(f"{HERE}:count_slowly", on_event=fail, to=1000)


def test_after_fork_the_child_has_a_launcher_of_its_own() -> None:
    before = process()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    forked = context.Process(
        target=lambda: queue.put((client.call(f"{HERE}:echo", value=2), process(), client.close()))
    )
    forked.start()
    value, pid, _ = queue.get()
    forked.join()
    assert value == 2
    assert pid != before
    assert forked.exitcode == 0
    assert client.call(f"{HERE}:echo", value=3) == 3
    assert process() == before


def test_a_forked_child_does_not_keep_the_launcher_of_its_parent_alive(tmp_path: Path) -> None:
    script = (
        "import os, time\nfrom nbcontainers.launcher import client\nclient.call('os:getpid')\n"
        "print(client._current().process.pid, flush=True)\n"
        "if os.fork() == 0:\n    os.close(1); time.sleep(20)\nelse:\n    os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, timeout=30)
    wait_until_gone(int(done.stdout))
    for name in os.listdir("/proc"):
        if name.isdigit() and script[:30].encode() in _cmdline(name):
            os.kill(int(name), signal.SIGKILL)


def _cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until_gone(pid: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while os.path.exists(f"/proc/{pid}") and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_goes_with_its_client_however_that_dies(number: int) -> None:
    script = (
        "import time\nfrom nbcontainers.launcher import client\nclient.call('os:getpid')\n"
        "print(client._current().process.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        process.send_signal(number)
        process.wait()
    wait_until_gone(pid)


@pytest.mark.leaks("another launcher takes the place of the one before")
def test_warm_returns_at_once_and_the_launcher_is_sealed_and_apart() -> None:
    client.close()
    begun = time.perf_counter()
    client.warm()
    assert time.perf_counter() - begun < 0.05  # 1 ms on an idle machine
    client.call("os:getpid")
    pid = process()
    assert os.getsid(pid) == pid
    with pytest.raises(OSError, match=r"Read-only file system|Text file busy|Permission denied"):
        os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY))


@pytest.mark.parametrize("executable", ["", "/usr/bin/blender-like-application", "/nonexistent/bin/python3"])
def test_an_odd_sys_executable(monkeypatch: pytest.MonkeyPatch, executable: str) -> None:
    client.close()
    monkeypatch.setattr(sys, "executable", executable)
    assert client.call(f"{HERE}:echo", value=1) == 1
    client.close()


def test_from_a_zip_archive(tmp_path: Path) -> None:
    """A zipapp: the package itself is inside a file."""
    import zipfile

    package = Path(client.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'app.pyz')!r})\nfrom nbcontainers.launcher import client\n"
    )
    script += "print(client.__file__, client.call('posixpath:basename', p='/a/b'))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
        env=environment,
    )
    assert done.stdout.split() == [f"{tmp_path}/app.pyz/nbcontainers/launcher/client.py", "b"], done.stderr


@pytest.mark.as_user
@pytest.mark.leaks("another launcher takes the place of the one before")
@pytest.mark.parametrize("command", [["/bin/false"], ["/bin/sh", "-c", "sleep 0.2"]])
def test_a_scope_that_does_not_work_is_done_without(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """systemd-run may be there and fail: no bus, a manager of another version, descriptors that are closed."""
    monkeypatch.setattr(client.scope, "works", True)
    monkeypatch.setattr(client.scope, "prefix", lambda: command if client.scope.works else [])
    client.close()
    with client.spawn(f"{HERE}:greet") as channel:
        assert channel.receive(20) == (b"S", b"{}")
    assert client.scope.works is False
    client.close()


@pytest.mark.leaks("another launcher takes the place of the one before")
def test_a_launcher_knows_only_the_variables_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_TOKEN", "secret")
    monkeypatch.setenv("LC_MESSAGES", "C")
    monkeypatch.setenv("https_proxy", "http://me:tulip-7@proxy.lab:3128")
    client.close()
    known = client.call(f"{HERE}:environment")
    client.close()
    assert "CLOUD_TOKEN" not in known
    assert "tulip-7" not in str(known)
    assert known["LC_MESSAGES"] == "C"
    assert known["PATH"] == os.environ["PATH"]
