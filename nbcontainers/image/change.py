"""`--change`: Dockerfile instructions that only change the config (docker import, docker commit)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbcontainers.dockerfile import dockerfile, variables
from nbcontainers.dockerfile.instructions import Instruction
from nbcontainers.dockerfile.state import State
from nbcontainers.dockerfile.variables import Globals, Scope
from nbcontainers.errors import BuildError, InvalidArgument

Config = dict[str, Any]
WORDS = tuple("CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL USER VOLUME WORKDIR".split())
NAME = "--change"


def apply(config: Config, changes: Sequence[str]) -> None:
    """Change `config` (the `config` object of an image config) by each instruction in turn.

    They are read by the builder's own parser. Raises InvalidArgument, and then `config` is as it was.
    """
    env = dict(line.partition("=")[::2] for line in config.get("Env") or [])
    now = State(Scope(Globals({}), env=env, variables=env), config)
    for text in changes:
        now = now.after(_read(text, now))
    changed = {key: value for key, value in now.config.items() if value is not None}
    config.clear()
    config.update(changed)


def _read(text: str, now: State) -> Instruction:
    word = text.split(maxsplit=1)[0] if text.strip() else text
    if word.upper() not in WORDS:
        known = " ".join(WORDS)
        raise InvalidArgument(f"--change: {word!r} is no instruction that can be changed", hint=f"known: {known}")
    if not text.strip()[len(word) :]:
        raise InvalidArgument(f"--change: {word.upper()} needs a value", hint=f"write --change '{word.upper()} …'")
    try:
        one, source = dockerfile.instruction(text, NAME)
        return variables.of_instruction(one, now.scope, source)[0]
    except BuildError as error:
        hint = error.hint or "it is written as in a Dockerfile"
        problem = error.message.removeprefix(f"{NAME}:1: ")
        raise InvalidArgument(f"--change {text!r}: {problem}", hint=hint) from None
