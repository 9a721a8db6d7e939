"""`rename`: another name for a container, also while it runs and others find it on their networks by its name."""

from __future__ import annotations

import os
from contextlib import ExitStack

from nbcontainers.container import endpoints, store
from nbcontainers.container.container import Container
from nbcontainers.container.names import check_name
from nbcontainers.container.options import bad
from nbcontainers.errors import InvalidState
from nbcontainers.network import ipam


def rename(container: Container, wanted: str) -> str:
    """Returns the new name. Raises NameInUse, InvalidArgument, and InvalidState for the name it has already."""
    engine = container.engine
    try:
        check_name(wanted)
    except ValueError as error:
        raise bad("name", str(error)) from None
    with ExitStack() as undo:
        with store.changed(engine, container.id) as record:
            before = str(record["name"])
            if wanted == before:
                raise InvalidState(f"container {before} has that name already", hint="container ps -a shows all names")
            store.take_name(engine, container.id, wanted)
            undo.callback(store.drop_name, engine, wanted, container.id)
            record["name"] = wanted
        undo.pop_all()
    store.drop_name(engine, before, container.id)
    _tell_networks(container, before, wanted)
    store.happened(engine, record, "rename", oldName=before)
    return wanted


def _tell_networks(container: Container, before: str, wanted: str) -> None:
    """The leases are what the others' resolvers read."""
    for network, addresses in endpoints.addresses(container).items():
        ipam.rename(os.fspath(container.engine.root), network, container.id, addresses, before, wanted)
