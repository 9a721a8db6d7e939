"""What a killed monitor leaves: processes die with it, but the cgroup, the run folder and records stay."""

from __future__ import annotations

import os

from nbcontainers.cgroups.detect import open_record
from nbcontainers.errors import NotFound
from nbcontainers.monitor import ending, recipe
from nbcontainers.monitor.files import Files


def tidy(files: Files, *, keep: bool = False, recorded: bool = True) -> list[str]:
    """Tidy up after a monitor that is certainly dead; the container's folder keeps its log and gets an exit record.

    A container that was to be removed at its end (--rm) goes, but with `keep`. Without `recorded` it need not be:
    the container is removed or started anew. Returns what could not be done.
    """
    failed = []
    record = files.read_state("state.json").get("cgroup") or files.read_state("monitor.json").get("cgroup")
    if record:
        failed += ending.remove_cgroup(open_record(record))
    if not os.path.isdir(files.folder):  # a virtual machine's, or removed by hand
        return failed + ending.tidy(files, {}, files.read_state("recipe.json").get("steps", []), remove=False)
    try:
        settings, steps = files.read("container.json"), files.read("recipe.json")["steps"]
    except (NotFound, ValueError):
        return failed + ending.tidy(files, {}, [], remove=False)
    remove = bool(settings.get("remove")) and not keep
    try:
        files.read("exit.json")
    except (NotFound, ValueError):
        unwritten = ending.write_record(files, files.read_state("exit.json") or ending.killed_monitor())
        if unwritten and recorded and not remove:  # the run folder stays, to try again when there is room
            return failed + unwritten + recipe.undo(steps)
    return failed + ending.tidy(files, settings, steps, remove=remove)
