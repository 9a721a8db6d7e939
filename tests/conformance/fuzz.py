"""A fuzzer for the Dockerfile language: `python -m tests.conformance.fuzz [INPUTS] [SEED]`.

Mutates the corpus and keeps what reaches new lines of nbcontainers/dockerfile (one input in eight is traced). Whatever
comes in, reading, planning, expanding and checking must end in a result or in a BuildError with file and line, and what
was read must read the same once written again. Deterministic for a seed.
"""

from __future__ import annotations

import random
import sys
import time
from types import CodeType, FrameType
from typing import Any

from nbcontainers.dockerfile import dockerfile, ignore, lint, parser, stages, value, variables
from nbcontainers.errors import BuildError
from tests.conformance import corpus

TRACED = 8
PLATFORMS = value.platform_arguments("linux/amd64", "linux/arm64")
WORDS = (
    "FROM RUN COPY ADD ENV ARG LABEL ONBUILD HEALTHCHECK CMD ENTRYPOINT EXPOSE VOLUME USER WORKDIR SHELL STOPSIGNAL "
    "MAINTAINER AS scratch NONE --from= --mount=type= bind cache tmpfs secret ssh target=/x id=a from=0 size=1m rw ro "
    "required=true mode=0700 uid=1 --chown=1:2 --chmod= 0755 u=rwX,go=rX --link --parents --exclude=* --checksum=sha256: "
    "--unpack=false --keep-git-dir --platform=$BUILDPLATFORM --network=none --security=insecure --interval=1m30s "
    "--retries=3 <<EOF <<-EOF <<'E' << EOF 3<<E $ ${ } :- :+ := :? # ## % %% / // * ? \\ ` ' \" [ ] , [\"a\"] "
    "80/tcp 1-5/udp = a=b $a ${a:-b} SIGTERM \ud800 é \x00"
).split(" ")
GLUE = (
    "\n",
    "\\\n",
    " ",
    "\t",
    "\r\n",
    "\n#",
    "\nEOF\n",
    "# escape=`\n",
    "# check=skip=all\n",
    "\ufeff",
    "\x1c",
    "\xa0",
    "",
)
SEEDS = (
    "FROM scratch\n",
    'ARG a=1\nFROM b:$a AS c\nENV d=${a:-x}\nRUN --mount=type=cache,target=/x ls \\\n # z\n\n -l\nCMD ["a"]\n',
    "FROM a\nCOPY --from=0 <<E <<-'F' x /y/\nq $a\nE\n\tr\nF\nHEALTHCHECK --interval=1s CMD x\n",
    "# escape=`\nFROM a\nLABEL a b c\nENV a=`\n b=c\nONBUILD RUN <<E\nx\nE\nEXPOSE 1-3/udp\n",
)


class Coverage:
    """Which lines of the builder ran; Python's own tracing, so only some inputs are run under it."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int]] = set()
        self.new = 0

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call" and "/dockerfile/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            place = (frame.f_code, frame.f_lineno)
            if place not in self.seen:
                self.seen.add(place)
                self.new += 1
        return self.trace

    def of(self, text: str) -> int:
        """Run one input; how many lines it reached that none before did."""
        self.new = 0
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            examine(text)
        finally:
            sys.settrace(before)
        return self.new


def mutated(chance: random.Random, known: list[str]) -> str:
    """An input made of one of the corpus by a few changes of letters, words or lines."""
    text = chance.choice(known)
    for _ in range(chance.randrange(1, 4)):
        text = chance.choice(CHANGES)(chance, text, known)
    return text[:4000]


def _letters(chance: random.Random, text: str, known: list[str]) -> str:
    at = chance.randrange(len(text) + 1)
    end = min(len(text), at + chance.randrange(8))
    char = chr(chance.choice((chance.randrange(128), chance.randrange(0x110000))))
    return text[:at] + chance.choice(("", char, text[at:end] * 2)) + text[end:]


def _word(chance: random.Random, text: str, known: list[str]) -> str:
    """One word of a line replaced, put in or taken away."""
    words = text.split(" ")
    at = chance.randrange(len(words))
    new = [*chance.choices(WORDS, k=chance.randrange(3))]
    return " ".join(words[:at] + new + words[at + chance.randrange(2) :])


def _glue(chance: random.Random, text: str, known: list[str]) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(WORDS) + chance.choice(GLUE) + text[at:]


def _line(chance: random.Random, text: str, known: list[str]) -> str:
    """A line of another file put in, or one of this file moved, doubled or taken away."""
    lines = text.split("\n")
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines) + 1)
    new = chance.choice((lines[at], chance.choice(chance.choice(known).split("\n")), _made(chance)))
    kept = lines[:at] + lines[at + 1 :] if chance.random() < 0.3 else lines
    return "\n".join([*kept[:to], new, *kept[to:]])


def _made(chance: random.Random) -> str:
    return " ".join([chance.choice(WORDS[:18]), *chance.choices(WORDS, k=chance.randrange(4))])


def _spliced(chance: random.Random, text: str, known: list[str]) -> str:
    other = chance.choice(known).split("\n")
    lines = text.split("\n")
    return "\n".join(lines[: chance.randrange(len(lines) + 1)] + other[chance.randrange(len(other)) :])


CHANGES = (_letters, _word, _glue, _line, _line, _spliced)


def belongs(error: BuildError) -> None:
    """A BuildError of ours names file and line."""
    if error.file != "Dockerfile" or error.line < 1:
        raise AssertionError(f"a BuildError without its place: {error!r}")


def examine(text: str) -> bool:
    """Whether `text` is a Dockerfile; AssertionError, or whatever escaped, when a promise does not hold."""
    try:
        file = dockerfile.read(text)
    except BuildError as error:
        belongs(error)
        return False
    lint_it(file)
    written = parser.parse(text).unparse()
    again = parser.parse(written)
    assert again.unparse() == written
    assert [strip(node) for node in again.nodes] == [strip(node) for node in file.nodes]
    expand_it(file)
    return True


def strip(node: parser.Node) -> tuple[Any, ...]:
    """A node without its place, comments, and the line ends of the text before."""
    heredocs = tuple((one.name, one.content, one.expand, one.tabs_go) for one in node.heredocs)
    return node.name, node.flags, node.args, node.is_json, node.is_legacy, heredocs


def lint_it(file: dockerfile.Dockerfile) -> None:
    try:
        lint.check(file, lint.Facts(platforms=PLATFORMS, ignore=ignore.parse("*.md\n!a/**\n**/x?\n")))
    except BuildError as error:
        belongs(error)


def expand_it(file: dockerfile.Dockerfile) -> None:
    try:
        plan = stages.plan(file, platforms=PLATFORMS, build_args={"a": "b"})
        for planned in plan.stages:
            scope = variables.Scope(plan.globals, {"a": "b"}, escape=file.escape)
            for one in planned.stage.instructions:
                done, _ = variables.of_instruction(one, scope, file.source)
                scope = scope.after(done)
    except BuildError as error:
        belongs(error)


def run(inputs: int, seed: int = 1) -> dict[str, float]:
    """Examine that many inputs. The facts of the run; an input that breaks a promise is in the error's notes."""
    chance = random.Random(seed)
    known = [*SEEDS, *(case.dockerfile for case in corpus.load())]
    coverage = Coverage()
    for text in known:
        coverage.of(text)
    accepted, start = 0, time.perf_counter()
    for number in range(inputs):
        text = mutated(chance, known)
        try:
            if number % TRACED:
                accepted += examine(text)
            elif coverage.of(text):
                known.append(text)
        except Exception as error:
            error.add_note(f"input {number} of seed {seed}: {text!r}")
            raise
    seconds = time.perf_counter() - start
    return {
        "inputs": inputs,
        "accepted": accepted,
        "corpus": len(known),
        "lines": len(coverage.seen),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    print(run(*(words or [100_000])))
