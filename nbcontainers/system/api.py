"""The verbs of `system`: what concerns the engine as a whole. `engine` is by default this user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Option, Unasked

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbcontainers.container.session import Sink
    from nbcontainers.system.diagnosis import Diagnosis
    from nbcontainers.table import Table

__all__ = ["df", "doctor", "events", "info", "prune"]


def prune(
    *,
    containers: Annotated[bool, Option(help="also remove every container that does not run")] = False,
    volumes: Annotated[bool, Option(help="also remove the anonymous volumes that no container names")] = False,
    force: Unasked = False,
    engine: Engine | None = None,
) -> Table:
    """Tidy what was left when a notebook, its launcher or a monitor was killed.

    Processes, cgroups, mounts, run folders, half-made files and unreachable image data go; running containers and
    those that ended in order stay. One row for each thing found.
    """
    from nbcontainers.system import tidying

    return tidying.prune(engine or default_engine(), containers=containers, volumes=volumes)


def events(
    *,
    follow: Annotated[bool, Option("-f", help="go on with what happens, until interrupted")] = False,
    since: Annotated[str, Option(help="from a time or 10m ago on", metavar="TIME")] = "",
    until: Annotated[str, Option(help="up to a time or 10m ago", metavar="TIME")] = "",
    filter: Annotated[
        list[str] | None,
        Option(help="container=, image=, network=, volume=, type=, event=, name=", metavar="KEY=VALUE"),
    ] = None,
    json: Annotated[bool, Option(help="one JSON object a line")] = False,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    engine: Engine | None = None,
) -> Table | None:
    """What happened to containers, images, networks and volumes: made, started, died, out of memory, …

    Rows: time, type, action, id, name, attributes. The last few thousand are kept.
    """
    from nbcontainers.system import history

    here = engine or default_engine()
    if not follow and stdout is None:
        return history.read(here, since, until, filter)
    history.write(here, since, until, filter, stdout, follow=follow, tick=tick, as_json=json)
    return None


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


def doctor(*, engine: Engine | None = None) -> Diagnosis:
    """Whether containers work here: what this host lacks for them, and the command that mends it.

    Each part is tried by a process that is gone at once; nothing is changed. `.works` is the verdict, `.checks` has a row
    a check: state is ok, limited (containers work, but for what `means` says) or missing (none works).
    """
    from nbcontainers.system import diagnosis

    return diagnosis.of(engine or default_engine())
