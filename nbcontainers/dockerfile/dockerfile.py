"""A whole Dockerfile: the ARGs before the first FROM, and its stages with their instructions."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nbcontainers.dockerfile import meaning, parser
from nbcontainers.dockerfile.directives import Directives
from nbcontainers.dockerfile.instructions import Arg, From, Instruction
from nbcontainers.dockerfile.parser import Node
from nbcontainers.dockerfile.source import Source


@dataclass(frozen=True)
class Stage:
    """One FROM and what follows it; `index` counts from 0."""

    index: int
    from_: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """As AS says in lower case, or ''."""
        return self.from_.stage

    @property
    def label(self) -> str:
        """How messages call it: its name, or its number."""
        return self.name or str(self.index)

    @property
    def lines(self) -> tuple[int, int]:
        return self.from_.node.lines[0], ([self.from_, *self.instructions][-1]).node.lines[1]


@dataclass(frozen=True)
class Dockerfile:
    """What `read` gives."""

    source: Source
    directives: Directives
    globals: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    nodes: tuple[Node, ...]

    @property
    def escape(self) -> str:
        return self.directives.escape


def read(content: bytes | str, name: str = "Dockerfile") -> Dockerfile:
    """Parse and check a Dockerfile. Every failure is a BuildError with file, line and what was expected."""
    parsed = parser.parse(content, name)
    source = parsed.source
    globals: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for node in parsed.nodes:
        one = meaning.read(node, source)
        if isinstance(one, From):
            stages.append((one, []))
        elif stages:
            stages[-1][1].append(one)
        elif isinstance(one, Arg):
            globals.append(one)
        else:
            hint = "only ARG may stand before the first FROM; begin with FROM, for example FROM mini"
            raise source.error(f"there is no FROM before {node.name}", *node.lines, word=node.word, hint=hint)
    if not stages:
        last = parsed.nodes[-1].lines
        raise source.error("there is no FROM in it", *last, hint="write FROM IMAGE, for example FROM mini")
    made = tuple(Stage(index, from_, tuple(body)) for index, (from_, body) in enumerate(stages))
    return Dockerfile(source, parsed.directives, tuple(globals), made, parsed.nodes)


def instruction(text: str, name: str) -> tuple[Instruction, Source]:
    """The one instruction that `text` is. BuildError, in which `name` stands for the file."""
    parsed = parser.parse(text, name)
    first, *more = parsed.nodes
    if more:
        raise parsed.source.error("this is more than one instruction", *more[0].lines, hint="give one at a time")
    return meaning.read(first, parsed.source), parsed.source


def triggers(expressions: list[str], image: str) -> list[Instruction]:
    """The instructions that an image's OnBuild holds. A BuildError names the image and shows the trigger.

    They are written with a backslash as escape, whatever the Dockerfile at hand uses.
    """
    found: list[Instruction] = []
    for expression in expressions:
        name = f"ONBUILD of {image}"
        parsed = parser.parse(expression, name)
        for node in parsed.nodes:
            if node.name in ("FROM", "MAINTAINER", "ONBUILD"):
                hint = f"the image {image} cannot be a base: {json.dumps(expression)}"
                raise parsed.source.error(f"{node.name} cannot be a trigger", *node.lines, hint=hint)
            found.append(meaning.read(node, parsed.source))
    return found
