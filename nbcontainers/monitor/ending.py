"""The end of a container: how it ended and what it used, then everything goes that was made for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from nbcontainers.cgroups import stats
from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.errors import Error, NotFound
from nbcontainers.linux import tree
from nbcontainers.monitor import recipe
from nbcontainers.monitor.files import Document, Files, as_error, replace, rfc3339
from nbcontainers.monitor.steps import Step


def verdict(status: int, used: stats.Usage) -> Document:
    """`exit_code`, `signal`, `reason` and `oom_killed` from a wait status (wait(2)) and what the cgroup counted.

    The exit code after a signal is 128 + its number, as in a shell. Memory is the reason only where the kernel's
    OOM killer was at work and SIGKILL ended the program, or a child of a shell that passed its status on.
    """
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = 128 + number if number is not None else os.WEXITSTATUS(status)
    killed = bool(used.get("oom_kills"))
    reason = "exited" if number is None else "signal"
    if killed and code == 128 + signal.SIGKILL:
        reason = "oom"
    found: Document = {"exit_code": code, "signal": number, "reason": reason, "oom_killed": killed}
    if killed:
        found["oom_cause"] = stats.oom_cause(used)
    return found


def failure(error: Error) -> Document:
    """The exit record of a container that was never started."""
    now = rfc3339(time.time_ns())
    return {
        "exit_code": error.details.get("exit_code", 125), "signal": None, "reason": "error", "oom_killed": False,
        "started_at": now, "finished_at": now, "wall_s": 0.0, "limits": {}, "usage": {}, "error": error.to_json(),
    }  # fmt: skip


def killed_monitor() -> Document:
    """The exit record of a container whose monitor was killed: it went down with it, nobody saw how."""
    error = Error(
        "the container's monitor was killed, and the container with it",
        hint="container start runs it again",
    )
    return {**failure(error), "exit_code": 128 + signal.SIGKILL, "started_at": None, "finished_at": None}


def write_record(files: Files, record: Document) -> list[str]:
    """exit.json; on a full disk the samples make room for it, and where even that is too little it waits in the run folder,
    which is on another disk as a rule. Returns what could not be done."""
    try:
        files.write("exit.json", record)
    except OSError:
        try:
            with suppress(FileNotFoundError):
                os.unlink(f"{files.folder}/metrics")
            files.write("exit.json", record)
        except OSError as error:
            with suppress(OSError):
                replace(f"{files.state}/exit.json", record)
            return [f"exit.json: {error}"]
    return []


def give_up(files: Files, settings: Document, steps: list[Step], error: BaseException, *, remove: bool) -> None:
    """Nothing of a failed start remains but, for a container that existed before, its record of it.

    Where that cannot be written the run folder stays with it: `system prune` goes on there when there is room.
    """
    keep = not remove and os.path.isdir(files.folder)
    if keep and write_record(files, failure(as_error(error))):
        recipe.undo(steps)
    else:
        tidy(files, settings, steps, remove=remove)


def remove_cgroup(cgroup: Cgroup) -> list[str]:
    """Kill what is left in it and remove it; what could not be done, in words."""
    try:
        cgroup.destroy()
    except (Error, OSError) as error:
        return [f"cgroup: {error}"]
    return []


def tidy(files: Files, settings: Document, steps: Sequence[Step], *, remove: bool) -> list[str]:
    """Undo the recipe, with `remove` take the container away, and last of all its run folder. Idempotent.

    As long as the run folder is there, `system prune` knows that something is left. Returns what could not be done.
    """
    failed, trash = withdraw(files, settings, steps, remove=remove)
    return failed + discard(trash)


def withdraw(files: Files, settings: Document, steps: Sequence[Step], *, remove: bool) -> tuple[list[str], list[str]]:
    """`tidy` up to where nobody sees anything of it any more: what could not be done, and folders to `discard`."""
    failed = recipe.undo(steps)
    trash: list[str] = []
    if remove:
        more, trash = _take_away(files, settings)
        failed += more
    gone = f"{files.run}/.{files.id}.{os.getpid()}.gone"
    try:
        os.rename(files.state, gone)  # as a whole: a run folder without its records would be a riddle
    except FileNotFoundError:
        return failed, trash
    return failed, [*trash, gone]


def remove_container(files: Files, settings: dict[str, Any]) -> list[str]:
    """--rm: the container's folder, its name and its anonymous volumes."""
    failed, trash = _take_away(files, settings)
    return failed + discard(trash)


def _take_away(files: Files, settings: dict[str, Any]) -> tuple[list[str], list[str]]:
    """A rename takes the whole folder from everybody's sight; `system prune` finds it, should we be killed now."""
    failed = _forget(files) if settings.get("anonymous_volumes") else []
    trash = f"{files.root}/containers/.{files.id}.{os.getpid()}.removed"
    try:
        os.rename(files.folder, trash)
    except FileNotFoundError:
        pass
    drop_name(files, settings.get("name", ""))
    return failed, [trash]


def _forget(files: Files) -> list[str]:
    """What the container's steps keep for it alone; while its own record still says so."""
    try:
        return recipe.forget(files.read("recipe.json")["steps"])
    except (NotFound, ValueError):
        return []


def discard(trash: Sequence[str]) -> list[str]:
    """Remove what `withdraw` took away; returns what could not be."""
    return [error for path in trash for error in _remove(path)]


def _remove(path: str) -> list[str]:
    try:
        tree.remove(path)
    except OSError as error:
        return [f"{path}: {error}"]
    return []


def drop_name(files: Files, name: str) -> None:
    """Take the name's link away if it still points at this container."""
    link = f"{files.root}/names/{name}"
    try:
        if name and os.readlink(link) == files.id:
            os.unlink(link)
    except FileNotFoundError:
        return
