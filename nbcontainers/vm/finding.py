"""Which machines there are, and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence

from nbcontainers.container import names
from nbcontainers.container.options import bad
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.vm import places
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.options import MachineOptions


def known(engine: Engine) -> list[Machine]:
    """All with a record, the newest first."""
    records = [one.read("machine.json") for one in places.of(str(engine.root), str(engine.run))]
    return [
        Machine.of(engine, record)
        for record in sorted(filter(None, records), key=lambda record: str(record["created"]), reverse=True)
    ]


def find(engine: Engine, wanted: str | Machine) -> Machine:
    """By name, id, the beginning of an id, or its handle. Raises NotFound, InvalidArgument where several are meant."""
    if isinstance(wanted, Machine):
        return wanted
    machines = known(engine)
    found = [one for one in machines if wanted in (one.name, one.id)] or [
        one for one in machines if wanted and one.id.startswith(wanted)
    ]
    if len(found) > 1:
        raise InvalidArgument(
            f"{len(found)} virtual machines have an id that begins with {wanted}", hint="write more of it"
        )
    if not found:
        raise NotFound(f"there is no virtual machine {wanted}", hint="vm ls -a shows those there are")
    return found[0]


def chosen(
    engine: Engine, wanted: Sequence[str | Machine], *, all: bool = False, passing: bool = False
) -> list[Machine]:
    """Those named, or all. One that is not there is no error where it is `passing`. Raises NotFound, InvalidArgument."""
    if all and wanted:
        raise InvalidArgument("machines were named, and --all was given", hint="name them, or let --all find them")
    if not all and not wanted:
        raise InvalidArgument("no virtual machine was named", hint="type its name or id; vm ls -a shows them")
    if all:
        return known(engine)
    found = []
    for one in wanted:
        try:
            found.append(find(engine, one))
        except NotFound:
            if not passing:
                raise
    return list(dict.fromkeys(found))


def name(engine: Engine, options: MachineOptions) -> str:
    """The one asked for, or one that is free. Raises InvalidArgument; the keeper raises NameInUse."""
    if given := options.get("name"):
        try:
            return names.check_name(given)
        except ValueError as error:
            raise bad("name", str(error)) from None
    taken = {one.name for one in known(engine)}
    return next(found for attempt in range(1000) if (found := names.random_name(attempt)) not in taken)
