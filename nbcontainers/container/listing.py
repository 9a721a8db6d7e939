"""`ps`, `inspect` and `stats`: what the folders and the samples say of containers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nbcontainers.container import endpoints, store, usage
from nbcontainers.container.container import Container, find_all
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.table import Column, Table, age, bytes_, command, digest, percent, since, text, timestamp

_LIVING = ("running", "paused")
_FILTERS = ("name", "id", "label", "status", "image", "ancestor", "exited", "volume")


def handles(engine: Engine, *, everything: bool) -> list[Container]:
    """The containers that run, or all, the newest first."""
    return [container for container, _ in _known(engine) if everything or container.status in _LIVING]


def _known(engine: Engine) -> list[tuple[Container, Mapping[str, Any]]]:
    found = []
    for id in store.ids(engine):
        container = Container(engine, id)
        try:
            if record := container.record:
                found.append((container, record))
        except NotFound:  # removed while we looked
            continue
    return sorted(found, key=lambda pair: str(pair[1]["created"]), reverse=True)


def ps(engine: Engine, *, everything: bool, filters: Sequence[str] | None, last: int, whole: bool, size: bool) -> Table:
    """Rows: id, image, command, created, status (in words), state (one word), exit_code, ports, name, pid, size."""
    wanted = [_filter(text) for text in filters or ()]
    everything = everything or last > 0 or any(key in ("status", "exited") for key, _ in wanted)
    rows = []
    for container, record in _known(engine):
        row = _row(container, record, size=size)
        if (everything or row["state"] in _LIVING) and all(_passes(row, record, key, value) for key, value in wanted):
            rows.append(row)
    return Table(rows[:last] if last else rows, _columns(whole=whole, size=size))


def _columns(*, whole: bool, size: bool) -> list[Column]:
    return [
        Column("id", "CONTAINER ID", text if whole else digest),
        Column("image"),
        Column("command", format=_joined if whole else command),
        Column("created", format=since),
        Column("status"),
        Column("ports"),
        *([Column("size", format=bytes_)] if size else []),
        Column("name", "NAMES"),
    ]


def _joined(words: Any) -> str:
    return f'"{" ".join(words)}"'


def _row(container: Container, record: Mapping[str, Any], *, size: bool) -> dict[str, Any]:
    state, ended = container.status, container.ended
    row = {
        "id": container.id,
        "image": record["image"],
        "command": record["command"],
        "created": record["created"],
        "status": _words(state, ended, container),
        "state": state,
        "exit_code": ended.get("exit_code"),
        "name": record["name"],
        "pid": container.pid if state in _LIVING else None,
        "ports": endpoints.words(container) if state in _LIVING else "",
        "labels": record["labels"],
    }
    return {**row, "size": _written(container)} if size else row


def _words(state: str, ended: Mapping[str, Any], container: Container) -> str:
    """Docker's words: `Up 5 minutes`, `Exited (137) 2 hours ago (out of memory)`."""
    import time

    if state == "exited":
        finished = timestamp(ended.get("finished_at"))
        ago = f" {age(time.time() - finished)} ago" if finished else ""
        return f"Exited ({ended.get('exit_code')}){ago}{' (out of memory)' if ended.get('oom_killed') else ''}"
    if state in _LIVING and (seconds := container.wall_s) is not None:
        return f"Up {age(seconds)}{' (Paused)' if state == 'paused' else ''}"
    return {"created": "Created", "dead": "Dead (its monitor was killed: system prune)"}.get(state, "Up")


def _written(container: Container) -> int | None:
    """Bytes of files in the container's own layer; None where they belong to ids that only the launcher maps."""
    total = 0
    try:
        for _, _, names, directory in os.fwalk(f"{store.folder(container.engine, container.id)}/upper", onerror=_raise):
            total += sum(os.stat(name, dir_fd=directory, follow_symlinks=False).st_size for name in names)
    except OSError:
        return None
    return total


def _raise(error: OSError) -> None:
    raise error


def _filter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in _FILTERS:
        raise InvalidArgument(
            f"--filter: {text!r} is no filter", hint=f"write KEY=VALUE with one of {', '.join(_FILTERS)}"
        )
    return key, value


def _passes(row: Mapping[str, Any], record: Mapping[str, Any], key: str, value: str) -> bool:
    if key == "label":
        name, equals, text = value.partition("=")
        return name in record["labels"] and (not equals or record["labels"][name] == text)
    if key == "volume":
        return value in record["volumes"]
    if key == "id":
        return str(row["id"]).startswith(value)
    if key == "name":
        return value in str(row["name"])
    column = {"status": "state", "ancestor": "image", "exited": "exit_code"}.get(key, key)
    return str(row[column]) == value


def inspect_all(engine: Engine, containers: Sequence[str | Container]) -> list[dict[str, Any]]:
    """`inspect` of each. Docker's takes images as well, so the hint for the name of one says what shows it."""
    try:
        return [inspect(handle) for handle in find_all(engine, containers)]
    except NotFound as error:
        from nbcontainers.image.store import names

        name = str(error.details.get("reference", "")).removesuffix(":latest")
        if name in names(engine):
            error.hint = f"there is an image of that name: image inspect {name}"
        raise


def inspect(container: Container) -> dict[str, Any]:
    """One document: container.json, the state, the limits in force, what was used, and the OCI configuration."""
    record = dict(container.record)
    folder = store.folder(container.engine, container.id)
    state = {
        "status": container.status,
        "pid": container.pid,
        "started_at": container.started_at,
        **dict(container.ended),
    }
    for key in ("limits", "usage"):
        state.pop(key, None)
    config = {} if container.kept else store.read(container.engine, container.id, "config.json")
    seccomp = (config.get("linux") or {}).pop("seccomp", None)
    return {
        **record,
        "state": state,
        "limits": dict(container.limits),
        "usage": dict(container.usage),
        "addresses": endpoints.addresses(container),
        "published": [{"port": inner, "host": where} for inner, where in endpoints.published(container)],
        "bundle": folder,
        "seccomp": seccomp is not None,
        "config": config,
    }


def stats(containers: Sequence[Container]) -> Table:
    """Rows: id, name, cpu (percent of one processor), memory, memory_limit, memory_part, io and pids; from the samples
    the monitors took last, which are at most some seconds old."""
    columns = [
        Column("id", "CONTAINER ID", digest),
        Column("name"),
        Column("cpu", "CPU %", percent),
        Column("memory", "MEM USAGE", bytes_),
        Column("memory_limit", "LIMIT", bytes_),
        Column("memory_part", "MEM %", percent),
        Column("io_read_bytes", "BLOCK IN", bytes_),
        Column("io_write_bytes", "BLOCK OUT", bytes_),
        Column("pids"),
    ]
    return Table([_figures(container) for container in containers], columns)


def _figures(container: Container) -> dict[str, Any]:
    found = usage.samples(container)
    row: dict[str, Any] = {"id": container.id, "name": container.name, "state": container.status}
    if not found:
        return row
    last = found[-1]
    before = next((one for one in reversed(found[:-1]) if last.time_ns - one.time_ns >= 10**8), found[0])
    limit = (container.limits.get("memory") or {}).get("limit")
    used = _known_figure(last.memory)
    if used is not None:
        used -= max(0, last.memory_inactive_file)
    return row | {
        "cpu": _percent(last.cpu_ns - before.cpu_ns, last.time_ns - before.time_ns),
        "memory": used,
        "memory_limit": limit if limit and limit > 0 else None,
        "memory_part": _percent(used, limit) if used is not None and limit and limit > 0 else None,
        "io_read_bytes": _known_figure(last.io_read_bytes),
        "io_write_bytes": _known_figure(last.io_write_bytes),
        "pids": _known_figure(last.pids),
    }


def _known_figure(value: int) -> int | None:
    return value if value >= 0 else None


def _percent(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole > 0 else None
