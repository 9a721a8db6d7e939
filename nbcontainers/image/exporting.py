"""`image export`: all files of an image as one tar, as a container of it would see them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import lease, output, rootfs
from nbcontainers.image.store import resolve
from nbcontainers.launcher import client


def export(engine: Engine, reference: str, path: str) -> dict[str, Any]:
    """Write the tar to `path`; the same image makes the same bytes (none newer than SOURCE_DATE_EPOCH).

    Returns `entries`, `size` (bytes of files), `left_out` and `notes` of what no tar can hold.
    """
    image = resolve(engine, reference)
    if image.is_host:
        raise InvalidArgument("host is this machine itself and is not exported", hint="%image export mini -o FILE")
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    with lease.adding(engine), output.archive(path) as file:
        layers = rootfs.layers(engine, image)
        file.flush()
        facts: dict[str, Any] = client.call(
            "nbcontainers.image.exporting:write", fds=[file.fileno()], layers=layers,
            epoch=int(epoch) if epoch.isdigit() else None,
        )  # fmt: skip
        return facts


def write(fds: list[int], layers: Sequence[str], epoch: int | None) -> dict[str, Any]:
    """In the launcher's child, which may read what belongs to other ids. `layers`: folders, the top one first."""
    from nbcontainers.layer.changes import merged
    from nbcontainers.layer.pack import Packer

    packer = Packer(epoch)
    with ExitStack() as stack:
        folders = []
        for path in layers:
            folders.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            stack.callback(os.close, folders[-1])
        for piece in packer.pieces(merged(folders)):
            view = memoryview(piece)
            while view:
                view = view[os.write(fds[0], view) :]
    return packer.facts
