"""`ps`: what the folders say of containers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from nbcontainers.container import endpoints, health, store
from nbcontainers.container.container import RUNNING, Container
from nbcontainers.container.filtering import Filters
from nbcontainers.container.options import Listing
from nbcontainers.container.selection import known
from nbcontainers.container.shade import of_row
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.table import Column, Row, Table, age, command, digest, since, stored, text, timestamp

LIVING = (*RUNNING, "stopping")


def ps(engine: Engine, options: Listing) -> Table:
    """Rows: id, image, command, created, status (in words), state (one word), health, exit_code, ports, name, pid,
    networks, mounts, labels, size."""
    filters, last = Filters(engine, options.get("filter")), _last(options)
    size = bool(options.get("size"))
    everything = bool(options.get("all") or last or filters.everything)
    rows: list[Row] = []
    for container, record in known(engine):
        if last and len(rows) == last:
            break
        if (everything or container.status in LIVING) and filters.passes(container, record):
            rows.append(_row(container, record, size=size))
    return Table(rows, _columns(whole=bool(options.get("no_trunc")), size=size))


def _last(options: Listing) -> int:
    number = 1 if options.get("latest") else options.get("last", 0)
    if number < 0:
        raise InvalidArgument(f"--last: {number} is no number of containers", hint="write 1 or more", option="last")
    return number


def _columns(*, whole: bool, size: bool) -> list[Column]:
    return [
        Column("id", "CONTAINER ID", text if whole else digest),
        Column("image"),
        Column("command", format=_joined if whole else command),
        Column("created", format=since),
        Column("status", colour=of_row),
        Column("ports"),
        *([Column("size", format=stored)] if size else []),
        Column("name", "NAMES"),
    ]


def _joined(words: Any) -> str:
    return f'"{" ".join(words)}"'


def _row(container: Container, record: Mapping[str, Any], *, size: bool) -> Row:
    state, ended, well = container.status, container.ended, health.status(container)
    row = {
        "id": container.id,
        "image": record["image"],
        "command": record["command"],
        "created": record["created"],
        "status": words(container, state, ended, well),
        "state": state,
        "health": well,
        "exit_code": ended.get("exit_code"),
        "name": record["name"],
        "pid": container.pid if state in LIVING else None,
        "ports": endpoints.words(container) if state in LIVING else "",
        "networks": [wish["network"] for wish in record.get("networks") or ()] or [record.get("network", "none")],
        "mounts": [*record["volumes"], *record["anonymous_volumes"]],
        "labels": record["labels"],
    }
    return {**row, "size": written(container)} if size else row


def words(container: Container, state: str, ended: Mapping[str, Any], well: str) -> str:
    """Docker's words: `Up 5 minutes (healthy)`, `Exited (137) 2 hours ago (out of memory)`."""
    if state in ("exited", "restarting"):
        return f"{state.capitalize()} ({ended.get('exit_code')}){_ago(ended)}{_memory(ended)}"
    if state in ("running", "paused") and (seconds := container.wall_s) is not None:
        remark = "Paused" if state == "paused" else "health: starting" if well == "starting" else well
        return f"Up {age(seconds)}{f' ({remark})' if remark else ''}"
    return {"created": "Created", "stopping": "Stopping", "dead": "Dead (its monitor was killed: system prune)"}.get(
        state, "Up"
    )


def _ago(ended: Mapping[str, Any]) -> str:
    finished = timestamp(ended.get("finished_at"))
    return f" {age(time.time() - finished)} ago" if finished else ""


def _memory(ended: Mapping[str, Any]) -> str:
    return " (out of memory)" if ended.get("oom_killed") else ""


def written(container: Container) -> int | None:
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
