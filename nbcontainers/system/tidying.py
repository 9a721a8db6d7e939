"""`system prune`: tidy what was left by monitors, launchers and clients that were killed.

What lives is never touched: a container belongs to its monitor as long as that very process runs. The work is done
in a process of the launcher, which may unmount, and remove files of ids that only the user namespace knows.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from nbcontainers.cgroups import detect
from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.launcher import client, pause
from nbcontainers.linux import flock, process, tree
from nbcontainers.monitor import ending, leftovers
from nbcontainers.monitor.files import Files
from nbcontainers.network import work as networks
from nbcontainers.table import Column, Table, stored
from nbcontainers.volume import removal as volume_removal

_YOUNG_S = 10.0
_HALF_MADE_S = 0.2
_COLUMNS = [Column("what"), Column("name"), Column("result")]

Row = dict[str, Any]


def prune(engine: Engine, *, containers: bool = False, volumes: bool = False) -> Table:
    """Tidy everything; one row for each thing that was found.

    An ordinary user's pause process goes too when nobody needs it, this process included: not in a notebook that
    has its launcher, but at the end of a command line.
    """
    needed = client.running()
    rows: list[Row] = client.call("nbcontainers.system.tidying:tidy", root=str(engine.root), run=str(engine.run))
    if containers:
        rows += _remove_ended(engine)
    if volumes:
        found = volume_removal.prune(engine, [], everything=False)
        rows += [_row("volume", f"{row['name'][:12]}, {stored(row['size'])}") for row in found]
    rows += _sweep_builds(engine)
    rows += _sweep_images(engine)
    rows += _sweep_exchanges(engine)
    rows += _sweep_machines(engine)
    rows += _sweep_comparisons(engine)
    if engine.rootless and not needed:
        client.close()
        if pause.end_if_unused(str(engine.run)):
            rows.append(_row("pause process", str(engine.run)))
    return Table(rows, _COLUMNS)


def _remove_ended(engine: Engine) -> list[Row]:
    from nbcontainers.container import pruning

    return [_row("container", row["name"]) for row in pruning.prune(engine, None)]


def _sweep_images(engine: Engine) -> list[Row]:
    from nbcontainers.image import removal

    found = removal.sweep(engine)
    rows = [_row("layer", f"{found['snapshots']} unpacked")] if found["snapshots"] else []
    return rows + ([_row("image", f"{found['blobs']} blobs, {stored(found['bytes'])}")] if found["blobs"] else [])


def _sweep_builds(engine: Engine) -> list[Row]:
    """The folders in which builds that were killed worked."""
    from nbcontainers.image import scratch

    return [_row("build", name) for name in scratch.sweep(engine)]


def _sweep_exchanges(engine: Engine) -> list[Row]:
    """The folders in which notebooks that are gone talked to their containers."""
    from nbcontainers.experiment import exchange

    return [_row("exchange", folder.name) for folder in exchange.prune(engine)]


def _sweep_machines(engine: Engine) -> list[Row]:
    """What virtual machines left whose keeper was killed, and the disks of images that are gone."""
    from nbcontainers.vm import disk

    left = client.call("nbcontainers.vm.sweeping:tidy", root=str(engine.root), run=str(engine.run))
    return [_row("virtual machine", name) for name in left] + [
        _row("disk of an image", name) for name in disk.sweep(engine)
    ]


def _sweep_comparisons(engine: Engine) -> list[Row]:
    """The folders of comparisons that were killed; their cgroups go as those of containers do."""
    from nbcontainers.compare import running

    return [_row("comparison", name) for name in running.sweep(engine)]


def tidy(root: str, run: str) -> list[Row]:
    """In a process of the launcher: everything but images. Only one at a time."""
    rows: list[Row] = []
    with flock.held(f"{run}/.prune.lock"):
        for id in _folders(run):
            rows += _tidy_state(Files(root, run, id))
        for id in _folders(f"{root}/containers"):
            rows += _tidy_container(Files(root, run, id))
        rows += _tidy_halves(Path(root, "containers"))
        rows += _tidy_claims(Path(run))
        rows += _tidy_names(root)
        rows += _tidy_cgroups(run)
        rows += [_row(what, name) for what, name in (*networks.tidy(root, run), *volume_removal.tidy(root))]
    return rows


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            ]
    except FileNotFoundError:
        return []


def _row(what: str, name: str, failed: list[str] | None = None) -> Row:
    return {"what": what, "name": name[:12] if len(name) == 64 else name, "result": "; ".join(failed or ()) or "tidied"}


def _tidy_state(files: Files) -> list[Row]:
    """A run folder. With neither a monitor's record nor a container of ours it is of one who drives the runtime."""
    ours = files.read_state("monitor.json") or os.path.exists(f"{files.folder}/container.json")
    if not ours or files.monitor_alive():
        return []
    return [_row("killed monitor", files.id, leftovers.tidy(files))]


def _tidy_container(files: Files) -> list[Row]:
    """A container's folder: parts of files whose writer was killed, and one that nobody will remove any more."""
    if os.path.exists(files.state):
        return []
    for path in Path(files.folder).glob("*.tmp"):
        if _writer_is_dead(path):
            path.unlink(missing_ok=True)
    try:
        settings = files.read("container.json")
    except (NotFound, ValueError):
        return []
    if not settings.get("remove") or _runs(settings.get("client", 0)):
        return []
    return [_row("container", files.id, ending.remove_container(files, settings))]


def _writer_is_dead(path: Path) -> bool:
    """Whether the process in its name, `….PID.SUFFIX`, has gone."""
    pid = path.name.split(".")[-2]
    return pid.isdigit() and not _runs(int(pid))


def _runs(pid: int) -> bool:
    return pid > 0 and process.start_time(pid) is not None


def _tidy_halves(containers: Path) -> list[Row]:
    """Folders half made or half removed. Whoever makes one holds a lock on it."""
    rows: list[Row] = []
    for path in containers.glob(".*.removed"):
        if _writer_is_dead(path):
            rows.append(_row("half-removed container", path.name[1:13], _remove(path)))
    half_made = [path for path in containers.glob(".*.new") if flock.folder_free(path)]
    if half_made:
        time.sleep(_HALF_MADE_S)  # its maker may not have locked it yet
    rows += [
        _row("half-made container", path.name[1:13], _remove(path)) for path in half_made if flock.folder_free(path)
    ]
    return rows


def _remove(path: Path) -> list[str]:
    try:
        tree.remove(str(path))
    except OSError as error:
        return [str(error)]
    return []


def _tidy_claims(run: Path) -> list[Row]:
    """Run folders whose monitor was killed while it was making or removing them: `.ID.PID.claim`, `.ID.PID.gone`."""
    stale = [path for end in ("claim", "gone") for path in run.glob(f".*.{end}") if _writer_is_dead(path)]
    return [_row("half-made run folder", path.name[1:13], _remove_cgroup(path) + _remove(path)) for path in stale]


def _remove_cgroup(path: Path) -> list[str]:
    """That of the record in a run folder, if there is one."""
    try:
        record = json.loads((path / "monitor.json").read_bytes())["cgroup"]
    except (OSError, ValueError, KeyError):
        return []
    return ending.remove_cgroup(detect.open_record(record))


def _tidy_names(root: str) -> list[Row]:
    """Names whose container is gone."""
    rows = []
    for name in os.listdir(f"{root}/names"):
        link = f"{root}/names/{name}"
        if os.path.islink(link) and not os.path.isdir(f"{root}/containers/{os.readlink(link)}"):
            os.unlink(link)
            rows.append(_row("name", name))
    return rows


def _tidy_cgroups(run: str) -> list[Row]:
    """Cgroups of containers that nothing knows. One with processes in it may be another engine's, and so may a young
    one that is empty."""
    rows = []
    for cgroup in detect.leftovers():
        id = cgroup.record["id"]
        if not os.path.exists(f"{run}/{id}") and not cgroup.procs() and _age(cgroup) > _YOUNG_S:
            rows.append(_row("cgroup", id, ending.remove_cgroup(cgroup)))
    return rows


def _age(cgroup: Cgroup) -> float:
    """Seconds since the youngest of its folders was made."""
    paths = [*cgroup.record.get("v1", {}).values(), cgroup.record.get("v2", "")]
    made = [os.stat(path).st_mtime for path in paths if path and os.path.isdir(path)]
    return time.time() - max(made, default=0.0)
