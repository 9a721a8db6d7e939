"""The checks of a configuration, and the small parts around the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import CreateFailed, Error, InvalidArgument, NotFound
from nbcontainers.linux import capabilities, namespaces
from nbcontainers.runtime import plan, state, sync
from nbcontainers.runtime.kill import parse_signal


def test_capability_sets_are_cut_to_what_we_have_and_never_inherited_by_chance() -> None:
    every = {key: ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_UNKNOWN"] for key in ("bounding", "permitted", "effective")}
    sets = capabilities.Sets(every, capabilities.mask(["CAP_CHOWN"]))
    assert (sets.bounding, sets.permitted, sets.effective) == (1, 1, 1)
    assert (sets.inheritable, sets.ambient) == (0, 0)


def test_effective_and_ambient_are_subsets() -> None:
    sets = capabilities.Sets({"effective": ["CAP_KILL"], "ambient": ["CAP_KILL"], "permitted": []}, ~0)
    assert (sets.effective, sets.ambient) == (0, 0)


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("sigkill", 9), ("9", 9), ("RTMIN+3", 37), ("SIGUSR1", 10)])
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "NOPE", "-9", "RTMIN+x"])
def test_bad_signals(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"is no signal\nhint: write a name as TERM"):
        parse_signal(text)


def test_namespaces_are_known_and_given_once() -> None:
    assert (
        plan.split_namespaces([{"type": "pid"}, {"type": "mount"}])[0]
        == namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNS
    )
    with pytest.raises(CreateFailed, match="'pid' is given twice"):
        plan.split_namespaces([{"type": "pid"}, {"type": "pid"}])
    with pytest.raises(CreateFailed, match="'pids' is unknown"):
        plan.split_namespaces([{"type": "pids"}])


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"args": [], "cwd": "/"}, "process.args is empty"),
        ({"args": ["x"], "cwd": "here"}, "process.cwd 'here' is not an absolute path"),
        ({"args": ["x"], "cwd": "/", "selinuxLabel": "x"}, "process.selinuxLabel is not supported"),
    ],
)
def test_a_process_is_checked(process: dict[str, Any], words: str) -> None:
    with pytest.raises(CreateFailed, match=words):
        plan.check_process(process)


@pytest.mark.parametrize("key", ["kernel.shmmax", "kernel/shmmax", "fs.mqueue.msg_max"])
def test_sysctls_of_the_ipc_namespace(key: str) -> None:
    path, value = plan.sysctl(key, "1", namespaces.CLONE_NEWIPC, {})
    assert (path, value) == (key.replace(".", "/"), "1")


@pytest.mark.parametrize(
    "key", ["kernel.core_pattern", "vm.swappiness", "net.ipv4.ip_forward", "kernel.msg/../../core_pattern"]
)
def test_sysctls_that_would_reach_the_host(key: str) -> None:
    with pytest.raises(CreateFailed, match="sysctl"):
        plan.sysctl(key, "1", namespaces.CLONE_NEWIPC, {})


def test_errors_cross_the_process_border() -> None:
    error = FileNotFoundError(2, "open: No such file or directory", "/x")
    back = sync.failure(sync.describe(error, "mounts"))
    assert (back.message, back.errno, back.path, back.stage, back.exit_code) == (
        "mounts: open: No such file or directory /x", 2, "/x", "mounts", 125,
    )  # fmt: skip
    kept = CreateFailed("no", hint="type x", stage="exec", exit_code=127)
    assert sync.failure(sync.describe(kept, "later")).exit_code == 127
    again = Error.from_json(kept.to_json())
    assert (type(again), again.hint, again.stage) == (CreateFailed, "type x", "exec")


def test_a_state_file_still_empty_is_no_container_yet(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/state.json").touch()
    with pytest.raises(NotFound, match="no container 'x'"):
        state.load(tmp_path, "x")


def test_what_init_said_is_heard_though_it_never_read_our_word() -> None:
    """unix(7): a peer that closes with unread data resets the connection."""
    ours, theirs = sync.pair()
    sync.tell(theirs, {"error": {"message": "no"}})
    ours.send(b"start")
    theirs.close()
    assert sync.hear(ours) == ({"error": {"message": "no"}}, [])
    assert sync.hear(ours) == (None, [])
