"""The handle of a volume: its name and its engine. Everything else is read from the disk when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nbcontainers import view
from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.volume import store


@dataclass(frozen=True, repr=False)
class Volume:
    """One volume; `run(…, volume={volume: "/data"})` takes it. Properties raise NotFound once it is removed.

    As a context manager it is removed on leaving.
    """

    engine: Engine
    name: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.rm(force=True)

    @property
    def record(self) -> Mapping[str, Any]:
        """volume.json: what was decided when it was made."""
        return store.read(str(self.engine.root), self.name)

    @property
    def driver(self) -> str:
        return str(self.record["driver"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.record["labels"])

    @property
    def options(self) -> dict[str, str]:
        """Of the file system behind it: `type`, `device`, `o`."""
        return dict(self.record["options"])

    @property
    def created(self) -> str:
        """RFC 3339, UTC, with nanoseconds."""
        return str(self.record["created"])

    @property
    def anonymous(self) -> bool:
        """Whether a container made it for itself."""
        return bool(self.record["anonymous"])

    @property
    def mountpoint(self) -> Path:
        """Where its files are on the host."""
        return Path(store.data(str(self.engine.root), self.name))

    @property
    def containers(self) -> list[str]:
        """Names of the containers made with it, running or not."""
        return [name for _, name in store.users(str(self.engine.root)).get(self.name, ())]

    @property
    def size(self) -> int:
        """Bytes its files take on the disk."""
        from nbcontainers.volume import listing

        return listing.sizes(self.engine, [self.name])[self.name]

    def inspect(self) -> dict[str, Any]:
        from nbcontainers.volume import api

        return api.inspect(self, engine=self.engine)[0]

    def rm(self, *, force: bool = False) -> None:
        from nbcontainers.volume import api

        api.rm(self, force=force, engine=self.engine)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return view.in_a_line(f"Volume {self.name}", self._line)

    def _line(self) -> str:
        users = ", ".join(self.containers)
        return f"Volume {self.name} of {self.created[:10]}{f', used by {users}' if users else ''}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> view.Bundle:
        """The card."""
        from nbcontainers.volume.card import Card

        return view.bundle(self, lambda: Card(self))


def get(volume: str | Volume, *, engine: Engine | None = None) -> Volume:
    """The handle of a volume by its name, whoever made it. Raises NotFound."""
    here = engine or default_engine()
    store.read(str(here.root), name_of(volume))
    return Volume(here, name_of(volume))


def name_of(volume: str | Volume) -> str:
    """The name of a handle or of what was typed. Raises InvalidArgument."""
    if isinstance(volume, Volume):
        return volume.name
    if not isinstance(volume, str):
        raise InvalidArgument(f"{volume!r} is no volume", hint="give a handle, or the name as text")
    return store.check_name(volume)
