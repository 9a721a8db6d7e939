"""What a container's root file system is put together from, by its recipe, and what the runtime mounts in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import Error
from nbcontainers.image import parts
from nbcontainers.image.parts import Parts


def of(container: Container) -> Parts:
    """From recipe.json and config.json. Raises NotFound for a container that is gone."""
    recipe = store.read(container.engine, container.id, "recipe.json")
    config = store.read(container.engine, container.id, "config.json")
    target = f"{store.folder(container.engine, container.id)}/rootfs"
    mounts = [mount["destination"] for mount in config.get("mounts", [])]
    return parts.of(recipe["steps"], target, mounts, userxattr=container.engine.rootless)


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
