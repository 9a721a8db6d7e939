"""`container export`: a container's files as one tar, its image's and its own together, without volumes."""

from __future__ import annotations

from typing import Any

from nbcontainers.advice import advise_left_out
from nbcontainers.container import parts as roots
from nbcontainers.container.container import Container
from nbcontainers.image.parts import Parts, whole


def export(container: Container, output: str) -> dict[str, Any]:
    """Write the tar, and say what is not in it; facts: `entries`, `size` (bytes of files), `left_out` and `notes` of what no tar can hold."""
    from nbcontainers.image import output as outputs
    from nbcontainers.launcher.client import call

    known = roots.of(container)
    with outputs.archive(output) as file, roots.present(container):
        file.flush()
        facts: dict[str, Any] = call("nbcontainers.container.exporting:write", fds=[file.fileno()], parts=known)
    advise_left_out(f"the tar of container {container.name}", facts, stacklevel=3)
    return facts


def write(fds: list[int], parts: Parts) -> dict[str, Any]:
    """In the launcher's child."""
    from nbcontainers.layer.pack import Packer

    packer = Packer()
    return packer.write(whole(parts, packer.unreadable), fds[0])
