"""The verbs of `volume`: each a function here, a word on the command line and in the magics.

A volume is given by its name or its handle. `engine` is where volumes are kept; by default this user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.option import Argument, Option, Unasked
from nbcontainers.volume.volume import Volume, name_of

if TYPE_CHECKING:
    from nbcontainers.table import Table

__all__ = ["create", "inspect", "ls", "prune", "rm"]

Many = Annotated[str | Volume, Argument("VOLUME", "names of volumes", complete="volume")]
Pairs = list[str] | Mapping[str, str]
Filter = Annotated[
    list[str] | None,
    Option("-f", help="name=, label=, dangling=true, driver=, anonymous=false", metavar="KEY=VALUE"),
]


def create(
    name: Annotated[str, Argument("NAME", "what to call it; made up without it")] = "",
    *,
    driver: Annotated[str, Option("-d", help="local, the only one", choices=("local",))] = "local",
    opt: Annotated[
        Pairs | None, Option("-o", help="type=tmpfs, device=/host/folder, o=bind|size=64m,…", metavar="KEY=VALUE")
    ] = None,
    label: Annotated[Pairs | None, Option("-l", help="attach a label", metavar="KEY=VALUE")] = None,
    engine: Engine | None = None,
) -> Volume:
    """Make a volume; containers mount it by -v NAME:/folder, which makes it too if it is not there.

    Without options it is a folder of ours. `type=tmpfs` is memory that lives as long as a container uses it,
    `type=none`, `o=bind`, `device=/host/folder` a folder of the host.

    Raises InvalidArgument for a name that is none and for options that cannot work.
    """
    from nbcontainers.volume import creation

    here = engine or default_engine()
    return Volume(here, creation.create(here, name, driver=driver, opt=opt, label=label))


def ls(
    *,
    filter: Filter = None,
    size: Annotated[bool, Option("-s", help="how much room each takes")] = False,
    engine: Engine | None = None,
) -> Table:
    """List the volumes, and which containers use each."""
    from nbcontainers.volume import listing

    return listing.ls(engine or default_engine(), filter or [], size=size)


def inspect(*volumes: Many, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Everything known of volumes: where the files are, how much room they take, which containers use them."""
    from nbcontainers.volume import listing

    return [listing.inspect(engine or default_engine(), volume) for volume in _needed(volumes)]


def rm(
    *volumes: Many,
    force: Annotated[bool, Option("-f", help="one that is not there is no error")] = False,
    engine: Engine | None = None,
) -> list[str]:
    """Remove volumes and the files in them; returns their names. One that a container names, even a stopped one, stays."""
    from nbcontainers.volume import removal

    return removal.remove(engine or default_engine(), [name_of(one) for one in _needed(volumes)], force=force)


def prune(
    *,
    all: Annotated[bool, Option("-a", help="those with a name of their own, too")] = False,
    filter: Filter = None,
    force: Unasked = False,
    engine: Engine | None = None,
) -> Table:
    """Remove the anonymous volumes that no container names; with -a all that no container names."""
    from nbcontainers.volume import removal

    return removal.prune(engine or default_engine(), filter or [], everything=all)


def _needed(volumes: tuple[str | Volume, ...]) -> tuple[str | Volume, ...]:
    if not volumes:
        raise InvalidArgument("no volume was named", hint="type its name; volume ls shows them")
    return volumes
