"""What a container's root file system is put together from, by its recipe, and what the runtime mounts in it."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import Error
from nbcontainers.image import parts
from nbcontainers.image.parts import Parts
from nbcontainers.image.rootfs import OF_ROOT


def of(container: Container) -> Parts:
    """From recipe.json and config.json. Raises NotFound for a container that is gone."""
    recipe = store.read(container.engine, container.id, "recipe.json")
    config = store.read(container.engine, container.id, "config.json")
    target = f"{store.folder(container.engine, container.id)}/rootfs"
    mounts = [mount["destination"] for mount in config.get("mounts", [])]
    return parts.of(recipe["steps"], target, mounts, userxattr=container.engine.rootless)


def folders(container: Container, record: Mapping[str, Any]) -> list[str]:
    """Where a small file of it may be, for reading without a mount: its own changes, then its image's layers."""
    upper = f"{store.folder(container.engine, container.id)}/upper"
    own = [f"{upper}/{OF_ROOT}", upper] if os.path.isdir(f"{upper}/{OF_ROOT}") else [upper]
    return [*own, *record.get("layers", ())]


@contextmanager
def present(container: Container) -> Generator[None]:
    """Around what reads the folders. Raises NotFound if the container was removed meanwhile: then what was read of it
    may lack files, and nobody was told."""
    try:
        yield
    except (Error, OSError):
        store.read(container.engine, container.id, "recipe.json")
        raise
    store.read(container.engine, container.id, "recipe.json")
