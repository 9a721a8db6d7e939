"""The embedded image `host`: what it shows, what it hides, and the notebook's own Python in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers.engine import Engine
from nbcontainers.image import api, host, mask


def shell(script: str, **options: object) -> str:
    """What a shell on `host` prints."""
    shown: list[bytes] = []
    nbcontainers.run("host", "sh", "-c", script, stdout=shown.append, stderr=shown.append, rm=True, **options)  # type: ignore[arg-type]
    return b"".join(shown).decode()


def test_nothing_is_copied(engine: Engine) -> None:
    assert shell("ls / | wc -l").strip().isdigit()
    row = next(row for row in api.ls() if row["reference"] == host.HOST)
    assert row["content_size"] == 0
    assert api.inspect("host")[0]["GraphDriver"]["Data"] == {"LowerDir": "/"}
    masks = sum(path.lstat().st_blocks * 512 for path in engine.cache.glob("host-*/**/*"))
    assert masks < 1 << 20


def test_homes_sockets_and_other_data_are_hidden(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    names = shell("ls -A /home /tmp /var/tmp /mnt /media /srv /run/user /var/log /var/spool /var/lib 2>/dev/null; true")
    found = {line for line in names.split() if not line.endswith(":")}
    shown = {path.removeprefix("var/lib/") for path in host.VISIBLE if path.startswith("var/lib/")}
    homes = {part for path in host.python_folders() for part in path.split("/")}
    assert found <= shown | homes | {"nbcontainers"}
    assert shell(f"cat {secret}; true").endswith("No such file or directory\n")
    for path in ("/run/docker.sock", "/run/dbus", "/var/lib/docker", "/var/lib/nbcontainers", "/var/log/dpkg.log"):
        assert shell(f"test -e {path} || echo hidden") == "hidden\n"


def test_every_top_level_folder_is_a_known_one() -> None:
    known = set(host.FOLDERS) | set(host.VISIBLE) | {path.split("/")[1] for path in host.python_folders()}
    assert set(shell("ls -A /").split()) <= {name.split("/")[0] for name in known}


def test_secrets_in_etc_are_hidden() -> None:
    output = shell(
        "cat /etc/shadow /etc/gshadow; wc -c < /etc/machine-id; ls /etc/ssh /etc/ssl/private /etc/sudoers.d 2>&1; true"
    )
    assert "$" not in output
    assert "root:*:" in output or os.geteuid() != 0
    assert "ssh_host" not in output
    assert shell("test -e /etc/sudoers || echo hidden") == "hidden\n"
    assert "root:x:0:" in shell("cat /etc/passwd")


@pytest.mark.as_root
def test_a_new_secret_is_hidden_at_once() -> None:
    secret = Path("/etc/nbc-test-container-secret")
    mask.of(nbcontainers.engine.default_engine(), "etc")
    try:
        secret.touch(0o600)
        secret.write_text("password")
        assert shell(f"test -e {secret} || echo hidden") == "hidden\n"
        secret.unlink()
        secret.touch(0o644)
        assert shell(f"test -e {secret} && echo shown") == "shown\n"
    finally:
        secret.unlink()


def test_changes_stay_in_the_container() -> None:
    """An ordinary user may not write where the host's root owns a folder; what the container owns is writable."""
    folders = ["/root", "/tmp", "/var/log", "/home"] + (["/usr/local", "/etc", "/opt"] if os.geteuid() == 0 else [])
    names = [f"{folder}/nbc-test" for folder in folders]
    assert shell(f"touch {' '.join(names)} && ls -U {' '.join(names)}").split() == names
    assert not [name for name in names if os.path.exists(name)]


def test_the_notebook_s_python_and_its_packages() -> None:
    code = "import sys, pytest, nbcontainers; print(sys.version_info[:3], sys.prefix, pytest.__file__)"
    expected = f"{sys.version_info[:3]} {sys.prefix} {pytest.__file__}\n"
    assert shell(f"{os.path.basename(sys.executable)} -c '{code}'") == expected
    assert shell(f"{sys.executable} -c '{code}'") == expected


def test_changes_to_python_stay_in_the_container() -> None:
    file = f"{sys.prefix}/nbc-test"
    script = f"touch {file} 2>/dev/null && ls {file}"
    assert shell(f"{script}; true") == (f"{file}\n" if os.access(sys.prefix, os.W_OK) else "")
    assert not os.path.exists(file)


@pytest.mark.as_root
def test_python_for_another_user() -> None:
    assert shell("python3 -c 'import pytest, os; print(os.getuid())'", user="1000:1000") == "1000\n"


def test_a_path_that_is_hidden_comes_in_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    assert shell(f"cat {tmp_path}/data", volume=[f"{tmp_path}:{tmp_path}:ro"]) == "mine"


def test_tmp_is_for_all_and_system_folders_are_as_they_should() -> None:
    modes = shell("stat -c '%a %n' / /tmp /var/tmp /usr /etc /run /run/lock /var/run /var/lock")
    assert modes.splitlines() == [
        "755 /", "1777 /tmp", "1777 /var/tmp", "755 /usr", "755 /etc", "755 /run", "1777 /run/lock", "777 /var/run",
        "777 /var/lock",
    ]  # fmt: skip


def test_it_starts_again(engine: Engine) -> None:
    container = nbcontainers.run(
        "host", "sh", "-c", "cat /tmp/kept 2>/dev/null; echo kept > /tmp/kept", stdout=lambda _: None
    )
    try:
        shown: list[bytes] = []
        nbcontainers.start(container, attach=True, stdout=shown.append)
        assert b"".join(shown) == b"kept\n"
    finally:
        container.rm(force=True)


def test_host_cannot_be_removed_or_renamed() -> None:
    for verb in (lambda: api.rm("host"), lambda: api.tag("host", "mine")):
        with pytest.raises(nbcontainers.errors.Error, match=r"machine's own|machine itself"):
            verb()
