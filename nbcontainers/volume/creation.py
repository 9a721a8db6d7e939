"""`volume create`, and the volumes that a container asks for by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.volume import options, store

Pairs = Iterable[str] | Mapping[str, str] | None


def create(engine: Engine, name: str, *, driver: str, opt: Pairs, label: Pairs) -> str:
    """Make it; returns its name. One that is there with the same options is fine, as Docker has it."""
    check_driver(driver)
    given, labels = options.check(options.pairs("--opt", opt)), options.pairs("--label", label)
    root = str(engine.root)
    name = store.check_name(name) if name else new_name()
    if not store.create(root, name, labels=labels, options=given, anonymous=False):
        there = store.read(root, name)
        if there["options"] != given:
            had = " ".join(f"-o {key}={value}" for key, value in there["options"].items()) or "none"
            raise InvalidArgument(
                f"there is a volume {name!r} already, with other options ({had})",
                hint=f"type volume rm {name} first, or choose another name", volume=name,
            )  # fmt: skip
    return name


def new_name() -> str:
    """64 hexadecimal digits."""
    import os

    return os.urandom(32).hex()


def check_driver(driver: str) -> None:
    if driver not in ("", "local"):
        raise InvalidArgument(f"there is no volume driver {driver!r}", hint="leave --driver out: it is local")
