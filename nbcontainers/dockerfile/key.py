"""What a step's result depends on, as a digest: the same key, the same result.

A key is the sha256 of canonical JSON: the key of the step before, the instruction with its variables put in, what RUN
sees, and the digests of the files that come in. Never in it: times, the contents of cache mounts and secrets, proxies
that no ARG names, and how the instruction was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile.state import State
from nbcontainers.oci import digest

VERSION = 3  # a new number forgets every result that was kept


def canonical(value: Any) -> Any:
    """JSON that says the same for equal values; a dataclass is its class and its fields, without its node."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: canonical(getattr(value, one.name)) for one in fields(value) if one.name != "node"}
        return {"is": type(value).__name__, **named}
    if isinstance(value, Mapping):
        return {str(name): canonical(one) for name, one in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [canonical(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(canonical(one) for one in value)
    return value


def encode(value: Any) -> bytes:
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode()


def of_base(name: str) -> str:
    """The key a stage begins with: an image's config digest, or `scratch`."""
    return digest.of(encode({"version": VERSION, "base": name}))


def of_step(before: str, one: i.Instruction, state: State, inputs: Mapping[str, str] | None = None) -> str:
    """The key after `one`, whose variables are put in, in the state before it.

    `inputs` are digests by name: of COPY's sources, of stages and contexts mounted by RUN. A COPY --link depends on
    nothing before it; its key is that of its files and is put on top of whatever is there.
    """
    parts: dict[str, Any] = {"version": VERSION, "before": before, "step": one, "inputs": inputs or {}}
    if isinstance(one, i.Run):
        parts["step"] = _run(one)
        parts |= {
            "argv": one.argv(state.shell), "script": one.script, "workdir": state.workdir, "user": state.user,
            "environment": state.scope.variables, "args": state.scope.keyed_args(),
        }  # fmt: skip
    elif isinstance(one, i.Copy):
        parts |= {"destination": state.path(one.destination)}
        if one.link:
            parts["before"] = ""
    return digest.of(encode(parts))


def _run(one: i.Run) -> dict[str, Any]:
    """What counts of RUN; a cache mount's contents do not, that there is one does."""
    return {"is": "Run", "network": one.network, "security": one.security, "mounts": one.mounts}
