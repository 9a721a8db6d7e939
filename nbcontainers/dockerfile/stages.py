"""How stages hang together: what each is built from, which the target needs and in which order.

References are FROM, COPY --from and RUN --mount=from, those of the base's ONBUILD too. A named context (`--build-context NAME=…`) goes before a stage of
that name, a stage before an image; in COPY --from, and only there, a number is a stage's index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nbcontainers.dockerfile import variables
from nbcontainers.dockerfile.dockerfile import Dockerfile, Stage
from nbcontainers.dockerfile.instructions import Copy, From, Instruction, Onbuild, Run
from nbcontainers.dockerfile.mount import fields
from nbcontainers.dockerfile.source import near
from nbcontainers.dockerfile.variables import Globals
from nbcontainers.errors import BuildError

SCRATCH = "scratch"
STAGE, IMAGE, CONTEXT, EMPTY = "stage", "image", "context", "scratch"
Triggers = Mapping[int, Sequence[Instruction]]


@dataclass(frozen=True)
class Input:
    """Where files come from: `kind` is stage, image, context or scratch; `stage` is an index, -1 for the others.

    `platform` is what FROM --platform asks of an image, "" for that of the build.
    """

    kind: str
    name: str
    stage: int = -1
    platform: str = ""


@dataclass(frozen=True)
class Planned:
    """A stage that is needed: FROM with its variables put in, what that means, and every other input by its name.

    `stands_for_stage`: a context of the stage's name is all there is of it. `takes`: the names of COPY --from and RUN --mount=from,
    also of what an ONBUILD of the base brings, with the instruction that an error shows.
    """

    stage: Stage
    from_: From
    base: Input
    inputs: Mapping[str, Input]
    stands_for_stage: bool = False
    takes: tuple[tuple[Instruction, str], ...] = ()

    @property
    def needs(self) -> frozenset[int]:
        """Indexes of the stages that must be there first."""
        return frozenset(one.stage for one in (self.base, *self.inputs.values()) if one.kind == STAGE)


@dataclass(frozen=True)
class Plan:
    """The stages a target needs, each after those it needs; the target is the last. Unused ones are left out."""

    target: int
    stages: tuple[Planned, ...]
    globals: Globals
    dropped: tuple[Stage, ...]


def plan(
    file: Dockerfile, *, target: str = "", build_args: Mapping[str, str] | None = None,
    platforms: Mapping[str, str] | None = None, contexts: Collection[str] = (), triggers: Triggers | None = None,
) -> Plan:  # fmt: skip
    """What to build for `target` (a stage's name or number; the last stage when empty). `triggers` are those of images, by the
    index of the stage that begins with one.

    BuildError for a target, a stage's number or a variable that does not work, and for a loop of stages.
    """
    known = variables.globals_of(file.globals, build_args or {}, platforms or {}, file.source, file.escape)
    last = find_target(file, target)
    planned = _needed(file, last, known, contexts, triggers or {})
    order = tuple(planned[index] for index in _sorted(file, last, planned))
    return Plan(last, order, known, tuple(stage for stage in file.stages if stage.index not in planned))


def find_target(file: Dockerfile, target: str) -> int:
    """The index of the stage called `target`."""
    if not target:
        return len(file.stages) - 1
    named = {stage.name: stage.index for stage in file.stages if stage.name}
    if target.lower() in named:
        return named[target.lower()]
    if target.isascii() and target.isdigit() and int(target) < len(file.stages):
        return int(target)
    hint = f"the stages are {', '.join(stage.label for stage in file.stages)}"
    raise BuildError(
        f"{file.source.name}: there is no stage {target!r}{near(target, named)}", hint=hint, file=file.source.name
    )


def _needed(
    file: Dockerfile, target: int, known: Globals, contexts: Collection[str], triggers: Triggers
) -> dict[int, Planned]:
    """Every stage the target needs, itself too, by index."""
    planned: dict[int, Planned] = {}
    waiting = [target]
    while waiting:
        index = waiting.pop()
        if index not in planned:
            planned[index] = _planned(file, file.stages[index], known, contexts, triggers.get(index, ()))
            waiting += planned[index].needs
    return planned


def _planned(
    file: Dockerfile, stage: Stage, known: Globals, contexts: Collection[str], brought: Sequence[Instruction]
) -> Planned:
    from_, _ = variables.of_from(stage.from_, known, file.source, file.escape)
    if stage.name and (context := _context(stage.name, contexts)):
        base = Input(CONTEXT, context)
        return Planned(stage, from_, base, {context: base}, True)
    base = _base(file, stage, from_, contexts)
    inputs = {base.name: base} if base.kind == CONTEXT else {}
    if base.kind == STAGE:
        brought = [one.trigger for one in file.stages[base.stage].instructions if isinstance(one, Onbuild)]
    takes: list[tuple[Instruction, Instruction, str]] = [(stage.from_, one, name) for one, name in references(brought)]
    takes += [(one, one, name) for one, name in references(stage.instructions)]
    for shown, one, name in takes:
        inputs[name] = _input(file, shown, name, contexts, is_copy=isinstance(one, Copy))
    return Planned(stage, from_, base, inputs, takes=tuple((shown, name) for shown, _, name in takes))


def _base(file: Dockerfile, stage: Stage, from_: From, contexts: Collection[str]) -> Input:
    """What FROM means: an earlier stage, `scratch`, a context, or an image."""
    image, platform = from_.image, from_.platform
    if context := _context(image, contexts):
        return Input(CONTEXT, context)
    for other in reversed(file.stages[: stage.index]):
        if other.name and other.name == image.lower():
            return Input(STAGE, other.name, other.index)
    return Input(EMPTY if image == SCRATCH else IMAGE, image, platform=platform)


def _input(file: Dockerfile, one: Instruction, name: str, contexts: Collection[str], *, is_copy: bool) -> Input:
    if context := _context(name, contexts):
        return Input(CONTEXT, context)
    for other in reversed(file.stages):
        if other.name and other.name == name.lower():
            return Input(STAGE, other.name, other.index)
    if is_copy and name.isascii() and name.isdigit():
        if int(name) < len(file.stages):
            return Input(STAGE, name, int(name))
        hint = f"stages are counted from 0 to {len(file.stages) - 1}"
        raise file.source.error(f"{one.name}: there is no stage {name}", *one.node.lines, word=name, hint=hint)
    return Input(EMPTY, name) if name == SCRATCH else Input(IMAGE, name)


def _context(name: str, contexts: Collection[str]) -> str:
    """The context of that name, "" for none; an image's name stands for itself in all its forms, as in BuildKit."""
    if not contexts or name in contexts:
        return name if name in contexts else ""
    return next((one for one in contexts if _short(one) == _short(name)), "")


def _short(name: str) -> str:
    return name.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


def references(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, str]]:
    """The names in COPY --from and RUN --mount=from, with their instructions."""
    for one in instructions:
        if isinstance(one, Copy) and one.from_:
            yield one, one.from_
        elif isinstance(one, Run):
            for flag in one.mount_flags:
                for key, name in fields(flag):
                    if key == "from" and name:
                        yield one, name


def _sorted(file: Dockerfile, target: int, planned: Mapping[int, Planned]) -> list[int]:
    """Stages in the order of need, and of the file where that is free. BuildError for a loop."""
    done: dict[int, bool] = {}
    order: list[int] = []
    stack: list[tuple[int, Iterator[int]]] = [(target, iter(sorted(planned[target].needs)))]
    done[target] = False
    while stack:
        index, rest = stack[-1]
        following = next(rest, -1)
        if following < 0:
            stack.pop()
            done[index] = True
            order.append(index)
        elif following not in done:
            done[following] = False
            stack.append((following, iter(sorted(planned[following].needs))))
        elif not done[following]:
            raise _loop(file, [index for index, _ in stack], following)
    return order


def _loop(file: Dockerfile, path: list[int], again: int) -> BuildError:
    loop = [*path[path.index(again) :], again]
    names = " → ".join(file.stages[index].label for index in loop)
    stage = file.stages[loop[-2]]
    one = next((one for one, name in references(stage.instructions) if _names(file, name, again)), stage.from_)
    message = f"stage {file.stages[again].label} needs itself: {names}"
    return file.source.error(
        message, *one.node.lines, hint="a stage may take only from stages that do not take from it"
    )


def _names(file: Dockerfile, name: str, index: int) -> bool:
    return name.lower() == file.stages[index].name or name == str(index)
