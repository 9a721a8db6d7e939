"""The verbs of `system`: what concerns the engine as a whole. `engine` is by default this user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Option

if TYPE_CHECKING:
    from nbcontainers.table import Table

__all__ = ["df", "info", "prune"]


def prune(
    *,
    containers: Annotated[bool, Option(help="also remove every container that does not run")] = False,
    volumes: Annotated[bool, Option(help="also remove the anonymous volumes that no container names")] = False,
    engine: Engine | None = None,
) -> Table:
    """Tidy what was left when a notebook, its launcher or a monitor was killed.

    Processes, cgroups, mounts, run folders, half-made files and unreachable image data go; running containers and
    those that ended in order stay. One row for each thing found.
    """
    from nbcontainers.system import tidying

    return tidying.prune(engine or default_engine(), containers=containers, volumes=volumes)


def df(
    *,
    verbose: Annotated[bool, Option("-v", help="one row for each image, container and volume")] = False,
    engine: Engine | None = None,
) -> Table:
    """How much room images, containers and volumes take."""
    from nbcontainers.system import usage

    return usage.df_of_each(engine or default_engine()) if verbose else usage.df(engine or default_engine())


def info(*, engine: Engine | None = None) -> dict[str, Any]:
    """What this engine is and what this host offers it."""
    from nbcontainers.system import facts

    return facts.info(engine or default_engine())
