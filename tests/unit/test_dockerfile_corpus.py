"""The corpus of tests/conformance: what we read and refuse; BuildKit's own parser says the same; the fuzzer's short run."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from nbcontainers.dockerfile import dockerfile, ignore, lint, meaning, parser, stages, value, variables
from nbcontainers.errors import BuildError
from tests.conformance import corpus, fuzz

CASES = corpus.load()
PLATFORMS = value.platform_arguments("linux/amd64", "linux/amd64")


def examine(case: corpus.Case) -> stages.Plan:
    """All that can be found out about a build before it runs."""
    rules = next((file.content for file in case.files if file.name == ".dockerignore"), "")
    facts = lint.Facts(build_args=case.build_args, platforms=PLATFORMS, ignore=ignore.parse(rules))
    file = dockerfile.read(case.dockerfile)
    plan = stages.plan(file, target=case.target, build_args=case.build_args, platforms=PLATFORMS)
    ends: dict[int, variables.Scope] = {}
    for planned in plan.stages:
        scope = ends.get(planned.base.stage, variables.Scope(plan.globals, case.build_args, escape=file.escape))
        for one in planned.stage.instructions:
            done, _ = variables.of_instruction(one, scope, file.source)
            scope = scope.after(done)
        ends[planned.stage.index] = scope
    lint.check(file, facts)
    return plan


def test_there_are_enough() -> None:
    assert len(CASES) >= 250
    assert len({str(case) for case in CASES}) == len(CASES)
    used = {node.name for case in CASES if not case.refuse for node in parser.parse(case.dockerfile).nodes}
    assert used == set(meaning.READERS)


@pytest.mark.parametrize("case", [case for case in CASES if not case.refuse], ids=str)
def test_read(case: corpus.Case, tmp_path: Path) -> None:
    assert examine(case).stages
    case.write(tmp_path)
    assert any(tmp_path.iterdir())


@pytest.mark.parametrize("case", [case for case in CASES if case.refuse], ids=str)
def test_refused(case: corpus.Case) -> None:
    with pytest.raises(BuildError) as caught:
        examine(case)
    assert case.refuse in caught.value.message


@pytest.fixture(scope="module")
def peer() -> list[object]:
    """What BuildKit's parser (0.12, in the package `dockerfile`) reads in every case, in a process of its own."""
    if importlib.util.find_spec("dockerfile") is None:
        if os.environ.get("CI") and platform.machine() == "x86_64":
            pytest.fail("the package dockerfile is not installed, and CI compares with it")
        pytest.skip("the package dockerfile (BuildKit's parser) is not installed")
    program = Path(corpus.__file__).with_name("peer_parser.py")
    files = json.dumps([case.dockerfile for case in CASES])
    done = subprocess.run(
        [sys.executable, program], input=files, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


LATER = {"heredoc/run-with-a-space", "syntax/escape-and-check"}  # came with Dockerfile 1.15 and 1.8


def test_buildkits_parser_reads_the_same(peer: list[object]) -> None:
    """Names, flags, words, exec forms, lines and here-documents."""
    differing = []
    for case, theirs in zip(CASES, peer, strict=True):
        if str(case) in LATER:
            continue
        try:
            ours: object = [shape(node) for node in parser.parse(case.dockerfile).nodes]
        except BuildError:
            ours = "refused"
        if isinstance(theirs, list) and isinstance(ours, list):
            theirs = [known(one) for one in theirs]
            ours = [known(one) for one in ours]
        elif isinstance(theirs, str):
            theirs = "refused"
        if theirs != ours:
            differing.append((str(case), theirs, ours))
    assert differing == []


def shape(node: parser.Node) -> list[object]:
    """A node as peer_parser.py writes one; of a trigger, which that package shows less of, the trigger's."""
    one = node.child or node
    name = f"{node.name} {one.name}" if node.child else node.name
    heredocs = [] if node.child else [[each.name, each.content] for each in node.heredocs]
    return [name, list(node.flags), list(one.args), one.is_json, *node.lines, heredocs]


def known(one: list[object]) -> list[object]:
    """Without the words of instructions that are none, which that parser passes over."""
    names = str(one[0]).split()
    chained = names[:2] == ["ONBUILD", "ONBUILD"]
    unknown = names[-1] in ("FRMO", "COPPY", "RNU")
    return [one[0], one[1], None if chained or unknown else one[2], *one[3:]]


def test_a_short_run_of_the_fuzzer() -> None:
    facts = fuzz.run(2000, seed=7)
    assert facts["accepted"] > 300
    assert facts["lines"] > 900
