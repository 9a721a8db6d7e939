"""`image export`: all files of an image as one tar, as a container of it would see them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from nbcontainers.advice import advise_left_out
from nbcontainers.engine import Engine
from nbcontainers.image import lease, output, rootfs
from nbcontainers.image.image import on_host
from nbcontainers.image.store import resolve
from nbcontainers.launcher import client
from nbcontainers.oci.image import epoch


def export(engine: Engine, reference: str, path: str) -> dict[str, Any]:
    """Write the tar to `path`, and say what is not in it; the same image makes the same bytes (none newer than SOURCE_DATE_EPOCH).

    Returns `entries`, `size` (bytes of files), `left_out` and `notes` of what no tar can hold.
    """
    image = resolve(engine, reference)
    if image.base:
        raise on_host(image, "is not exported")
    with lease.adding(engine), output.archive(path) as file:
        layers = rootfs.layers(engine, image)
        file.flush()
        facts: dict[str, Any] = client.call(
            "nbcontainers.image.exporting:write", fds=[file.fileno()], layers=layers,
            latest=epoch(),
        )  # fmt: skip
    advise_left_out(f"the tar of image {image}", facts, stacklevel=3)
    return facts


def write(fds: list[int], layers: Sequence[str], latest: int | None) -> dict[str, Any]:
    """In the launcher's child, which may read what belongs to other ids. `layers`: folders, the top one first."""
    from nbcontainers.layer.changes import merged
    from nbcontainers.layer.lower import opened
    from nbcontainers.layer.pack import Packer

    with ExitStack() as stack:
        return Packer(latest).write(merged(opened(stack, layers)), fds[0])
