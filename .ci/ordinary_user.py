"""An ordinary user for the rootless tests: an account, sub-ids, an environment of its own, a cgroup to limit in."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from environment import Failed, call, copy_project, say, virtual_environment

NAME = "nbctest"
SUBIDS = 65536
CGROUPS = Path("/sys/fs/cgroup")
PYTHON = "/usr/bin/python3"  # root's own may stand below /root, where the user may not look


class User(NamedTuple):
    """The account, its copy of the project and the Python of its environment."""

    account: pwd.struct_passwd
    project: Path
    interpreter: Path


def prepare() -> User:
    """Make the account, copy the project into its home, and make an environment there."""
    user = account()
    home = Path(user.pw_dir)
    project = home / "nbcontainers"
    copy_project(project)
    interpreter = virtual_environment("test", home / "venv", PYTHON, project)
    call(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", home])
    return User(user, project, interpreter)


def account() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return with_subids(pwd.getpwnam(NAME))
    say(f"making the user {NAME} (`python3 tests tidy` removes it)")
    call(["useradd", "--create-home", "--shell", "/bin/sh", NAME])
    return with_subids(pwd.getpwnam(NAME))


def with_subids(user: pwd.struct_passwd) -> pwd.struct_passwd:
    """subuid(5) and subgid(5) ranges, which useradd gives only where the files are already in use."""
    for file, flag in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
        lines = [line.split(":") for line in Path(file).read_text().splitlines()] if Path(file).exists() else []
        if any(line[0] == NAME for line in lines):
            continue
        first = max([100000, *(int(start) + int(count) for _, start, count in lines)])
        Path(file).touch()
        call(["usermod", flag, f"{first}-{first + SUBIDS - 1}", NAME])
    return user


def remove() -> None:
    with contextlib.suppress(KeyError):
        pwd.getpwnam(NAME)
        call(["userdel", "--remove", NAME], stderr=subprocess.DEVNULL)


def session(user: User, command: Sequence[str], cgroups: Sequence[Path]) -> int:
    """Run the command as the user, in its project and in these cgroups, with an environment of its own."""
    environment = {"HOME": user.account.pw_dir, "USER": NAME, "LOGNAME": NAME, "SHELL": "/bin/sh", "LANG": "C.UTF-8"}
    environment["PATH"] = f"{Path(command[0]).parent}:/usr/local/bin:/usr/bin:/bin"
    kept = ("CI", "PYTHONDONTWRITEBYTECODE", "NBCONTAINERS_TESTS_ALONE", "COLUMNS")
    environment |= {name: os.environ[name] for name in kept if name in os.environ}
    # The shell enters the cgroups while it is still root; `runuser` then becomes the user in its place.
    enter = 'for group; do [ "$group" = -- ] && break; echo $$ > "$group/cgroup.procs" || exit 1; shift; done; shift'
    words = ["sh", "-c", f'{enter}; exec /sbin/runuser -u {NAME} -- "$@"', "sh", *map(str, cgroups), "--", *command]
    return subprocess.run(words, env=environment, cwd=user.project, check=False, stdin=subprocess.DEVNULL).returncode


@contextlib.contextmanager
def delegated_cgroups(user: pwd.struct_passwd) -> Iterator[list[Path]]:
    """A cgroup of the user's own in every hierarchy, as `systemd-run -p Delegate=yes` makes it on v2."""
    made: list[Path] = []
    try:
        for parent in own_cgroups():
            made.append(delegate(parent, user))
        yield made
    finally:
        for folder in made:
            remove_tree(folder)


def own_cgroups() -> Iterator[Path]:
    """The folder of this process's cgroup in each mounted hierarchy (cgroups(7))."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = controllers.removeprefix("name=") if controllers else ("" if is_v2(CGROUPS) else "unified")
        folder = CGROUPS / name / path.lstrip("/")
        if (folder / "cgroup.procs").exists():
            yield folder


def is_v2(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()


def delegate(parent: Path, user: pwd.struct_passwd) -> Path:
    if is_v2(parent) and parent == CGROUPS:
        controllers = (parent / "cgroup.controllers").read_text().split()
        (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
    folder = parent / NAME
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):  # v1: a new cpuset is empty and takes nobody
        if (parent / name).exists() and not is_v2(parent):
            (folder / name).write_text((parent / name).read_text())
    for name in (".", "cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"):
        if (folder / name).exists():
            os.chown(folder / name, user.pw_uid, user.pw_gid)
    return folder


def remove_tree(folder: Path) -> None:
    """The cgroup and those below it; the processes are the caller's, and a zombie may need a moment to go."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            remove_cgroup(path)
    remove_cgroup(folder)


def remove_cgroup(folder: Path) -> None:
    for _ in range(100):
        try:
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.05)
    raise Failed(f"{folder} cannot be removed; its processes: {(folder / 'cgroup.procs').read_text().split()}")
