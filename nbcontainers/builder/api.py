"""The verbs of `builder`: what builds keep. `image build` is the build itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Option, Unasked, duration

if TYPE_CHECKING:
    from nbcontainers.table import Table

__all__ = ["ls", "prune"]


def ls(*, engine: Engine | None = None) -> Table:
    """List the steps whose results are kept."""
    from nbcontainers.builder import pruning

    return pruning.listing(engine or default_engine())


def prune(
    *,
    all: Annotated[bool, Option("-a", help="the cache mounts of RUN as well")] = False,
    unused_for: Annotated[
        float, Option(help="only steps that were not used for so long, as 24h", metavar="TIME", parse=duration)
    ] = 0.0,
    force: Unasked = False,
    engine: Engine | None = None,
) -> Table:
    """Remove what builds keep for the next ones.

    Images stay as they are; the next build does its steps again.
    """
    from nbcontainers.builder import pruning

    return pruning.prune(engine or default_engine(), unused=unused_for, mounts=all)
