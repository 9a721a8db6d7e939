"""The pause process: which ids it gets, and what is said where the host does not allow it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nbcontainers.errors import HostNotCapable
from nbcontainers.launcher import pause, scope


def test_subordinate_ids_follow_uid_0(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text(
        "# ranges\nsomebody:500000:65536\n4242:100000:65536\n\n4242:300000:1000\n4242:broken\n4242:x:y\n"
    )
    assert pause.subordinate(str(tmp_path / "subuid"), 4242) == [
        {"containerID": 1, "hostID": 100000, "size": 65536},
        {"containerID": 65537, "hostID": 300000, "size": 1000},
    ]
    assert pause.subordinate(str(tmp_path / "subuid"), 4243) == []
    assert pause.subordinate(str(tmp_path / "none"), 4242) == []


def test_by_name_too(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("root:100000:10\n")
    assert pause.subordinate(str(tmp_path / "subuid"), 0)[0]["hostID"] == 100000


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"apparmor_restrict_unprivileged_userns": "1"}, "AppArmor forbids it"),
        ({"unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ({"max_user_namespaces": "0"}, "user.max_user_namespaces=15000"),
        ({}, "run as root"),
    ],
)
def test_a_refusal_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switches: dict[str, str], words: str
) -> None:
    def refuse(flags: int) -> None:
        raise OSError(errno.EPERM, "unshare(user): Operation not permitted")

    monkeypatch.setattr(pause.namespaces, "unshare", refuse)
    monkeypatch.setattr(pause, "_switch", lambda path: switches.get(os.path.basename(path), ""))
    with pytest.raises(HostNotCapable, match=r"no user namespace for containers: .*Operation not permitted") as caught:
        pause.join(str(tmp_path))
    assert words in caught.value.hint
    assert caught.value.details["errno"] == errno.EPERM
    assert not (tmp_path / "pause.json").exists()


def test_a_record_of_another_process_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "pause.json").write_text(f'{{"pid": {os.getpid()}, "start_time": 1}}')
    assert pause.find(str(tmp_path)) is None
    (tmp_path / "pause.json").write_text("{")
    assert pause.find(str(tmp_path)) is None
    assert pause.end_if_unused(str(tmp_path)) is False


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A host with systemd's user manager and cgroup v2, as far as `scope` looks."""

    def make(**without: bool) -> None:
        (tmp_path / "systemd").mkdir()
        (tmp_path / "systemd/private").touch()
        monkeypatch.setenv("XDG_RUNTIME_DIR", "" if without.get("manager") else str(tmp_path))
        monkeypatch.setattr(scope.shutil, "which", lambda name: None if without.get("program") else f"/usr/bin/{name}")
        monkeypatch.setattr(scope, "_delegated", lambda: bool(without.get("need")))
        exists = os.path.exists
        monkeypatch.setattr(
            scope.os.path,
            "exists",
            lambda path: not without.get("v2") if "cgroup.controllers" in path else exists(path),
        )

    return make


def test_the_launcher_gets_a_delegated_scope_where_it_can(host: Callable[..., None]) -> None:
    host()
    assert scope.prefix()[:3] == ["systemd-run", "--user", "--scope"]
    assert "Delegate=yes" in scope.prefix()


@pytest.mark.parametrize("missing", ["manager", "program", "need", "v2"])
def test_and_none_where_it_cannot_or_need_not(host: Callable[..., None], missing: str) -> None:
    host(**{missing: True})
    assert scope.prefix() == []


def test_it_is_not_tried_again_once_it_failed(host: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    host()
    monkeypatch.setattr(scope, "works", False)
    assert scope.prefix() == []
