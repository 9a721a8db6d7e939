"""What a face says beside a command that works: on stderr, once, and never instead of an error."""

from __future__ import annotations

from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb


def of(verb: Verb, call: Call) -> str:
    """One sentence, or ""."""
    if verb.object != "container" or verb.name not in ("run", "create") or not call.arguments:
        return ""
    from nbcontainers.engine import default_engine
    from nbcontainers.image import latest

    return latest.advice(default_engine(), str(call.arguments[0]))
