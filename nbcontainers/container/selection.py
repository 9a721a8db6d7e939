"""Which containers a verb is for: those named, or `--all`, `--latest` and `--filter`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from nbcontainers.container import store
from nbcontainers.container.container import Container, find, find_all
from nbcontainers.container.filtering import Filters, Record
from nbcontainers.container.options import Found, Which
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument, NotFound

S = TypeVar("S")
T = TypeVar("T")


def known(engine: Engine) -> list[tuple[Container, Record]]:
    """All containers with their records, the newest first."""
    found = []
    for id in store.ids(engine):
        container = Container(engine, id)
        try:
            if record := container.record:
                found.append((container, record))
        except NotFound:  # removed while we looked
            continue
    return sorted(found, key=lambda pair: str(pair[1]["created"]), reverse=True)


def chosen(
    engine: Engine, named: Sequence[str | Container], which: Which | Found, among: Collection[str] = (),
    *, passing: bool = False,
) -> list[Container]:  # fmt: skip
    """The containers that are meant. `among` are the states --all and --filter look among; all states without it.

    Raises NotFound where one that was named is not there (nothing was done to the others; `passing` passes it over),
    InvalidArgument where none was named, or both ways were used.
    """
    asked = [name for name in ("all", "latest", "filter") if which.get(name)]
    if named and asked:
        raise InvalidArgument(
            f"containers were named, and --{asked[0]} was given", hint=f"name them, or let --{asked[0]} find them"
        )
    if asked:
        return _found(engine, which, among)
    if not named:
        raise InvalidArgument("no container was named", hint="type its name or id; container ps -a shows them")
    return list(dict.fromkeys(_there(engine, named) if passing else find_all(engine, named)))


def _there(engine: Engine, named: Sequence[str | Container]) -> Iterator[Container]:
    for one in named:
        with suppress(NotFound):
            yield find(engine, one)


def _found(engine: Engine, which: Which | Found, among: Collection[str]) -> list[Container]:
    filters = Filters(engine, which.get("filter"))
    found = [container for container, record in known(engine) if filters.passes(container, record)]
    if which.get("latest"):
        if not found:
            raise NotFound("there is no container", hint="container run IMAGE makes one")
        return found[:1]
    return [container for container in found if not among or container.status in among]


def each(several: Iterable[S], verb: Callable[[S], T]) -> list[T]:
    """The verb on each of them. One that fails does not keep it from the others; its error is raised at the end."""
    done, failed = [], []
    for one in several:
        try:
            done.append(verb(one))
        except Error as error:
            failed.append(error)
    raise_all(failed)
    return done


def raise_all(failed: Sequence[Error]) -> None:
    """The one error there is, or one that says them all."""
    if len(failed) == 1:
        raise failed[0]
    if failed:
        kind = type(failed[0]) if len({type(error) for error in failed}) == 1 else Error
        hints = dict.fromkeys(error.hint for error in failed if error.hint)
        raise kind("; ".join(error.message for error in failed), hint="; ".join(hints))
