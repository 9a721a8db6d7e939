"""What is said where a container is run of `latest`: that it moves, and what to write instead."""

from __future__ import annotations

import os

from nbcontainers.advice import MovingTag, advise
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import layout, versions
from nbcontainers.oci import reference as references
from nbcontainers.oci.reference import LOCAL, Reference

SILENCE = "NBCONTAINERS_WARN_LATEST"
"""Set to 0, nothing is said."""
_said: set[str] = set()


def advice(engine: Engine, image: str) -> str:
    """One sentence for `image` as it was typed, once a process; "" for what is fixed, local or not here."""
    found = _moving(engine, image) if os.environ.get(SILENCE) != "0" else None
    if found is None or str(found) in _said:
        return ""
    _said.add(str(found))
    return f"{found.familiar} means another image after every release; for this one write {fixed(engine, found)}"


def warn(engine: Engine, image: str) -> None:
    """Say it, as of the line that called our caller."""
    if words := advice(engine, image):
        advise(MovingTag(words), stacklevel=3)


def _moving(engine: Engine, image: str) -> Reference | None:
    """The reference that `image` means, if it is `latest` of a registry."""
    names = layout.read_index(engine).names
    try:
        found = next((one for one in references.candidates(image) if str(one) in names), None)
    except InvalidArgument:  # an id
        return None
    if found is None or found.domain == LOCAL or found.digest or versions.read(found.tag).kind != "latest":
        return None
    return found


def fixed(engine: Engine, moving: Reference) -> str:
    """A name of the same image that stays: a fixed tag if one is here, else by digest."""
    names = layout.read_index(engine).names
    digest = names[str(moving)]["digest"]
    tags = [
        versions.read(name.rpartition(":")[2])
        for name, one in names.items()
        if one["digest"] == digest and name.startswith(f"{moving.repository}:")
    ]
    tags = sorted((one for one in tags if one.fixed), key=lambda one: one.key)
    whole = Reference(moving.domain, moving.path, tags[0].name if tags else "", "" if tags else digest)
    return whole.familiar
