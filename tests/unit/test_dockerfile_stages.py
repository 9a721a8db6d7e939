"""The graph of stages: what a target needs, in which order, and what cannot be."""

from __future__ import annotations

import pytest

from nbcontainers.dockerfile import dockerfile, stages
from nbcontainers.dockerfile.stages import Input
from nbcontainers.errors import BuildError


def plan(text: str, target: str = "", contexts: tuple[str, ...] = (), **build_args: str) -> stages.Plan:
    return stages.plan(dockerfile.read(text), target=target, contexts=contexts, build_args=build_args)


def order(found: stages.Plan) -> list[str]:
    return [one.stage.label for one in found.stages]


CHAIN = "FROM a AS one\nFROM one AS two\nCOPY --from=three x y\nFROM b AS three\nFROM c AS unused\nFROM two AS last\n"


@pytest.mark.parametrize(
    "text, target, labels",
    [
        ("FROM a", "", ["0"]), ("FROM a\nFROM b", "", ["1"]), ("FROM a\nFROM b", "0", ["0"]),
        (CHAIN, "", ["one", "three", "two", "last"]), (CHAIN, "two", ["one", "three", "two"]), (CHAIN, "ONE", ["one"]), (CHAIN, "3", ["unused"]),
        ("FROM a\nFROM b\nCOPY --from=0 x y", "", ["0", "1"]), ("FROM a AS x\nFROM b\nRUN --mount=from=x,target=/y ls", "", ["x", "1"]),
        ("FROM a AS x\nFROM b\nRUN --mount=type=cache,target=/y,from=X ls", "", ["x", "1"]),
        ("FROM a AS B\nFROM b", "", ["b", "1"]), ("FROM a AS x\nFROM b AS x\nFROM x", "", ["x", "2"]),
    ],
)  # fmt: skip
def test_order_and_what_is_left_out(text: str, target: str, labels: list[str]) -> None:
    found = plan(text, target)
    assert order(found) == labels
    assert {stage.index for stage in found.dropped}.isdisjoint(one.stage.index for one in found.stages)
    assert found.stages[-1].stage.index == found.target


def test_what_inputs_mean() -> None:
    text = "FROM alpine:3 AS x\nFROM scratch AS y\nFROM x\nCOPY --from=x a b\nCOPY --from=0 a b\nCOPY --from=img:1 a b\nCOPY --from=ctx a b\n"
    found = plan(text, contexts=("ctx",))
    last = found.stages[-1]
    assert last.base == Input("stage", "x", 0)
    assert dict(last.inputs) == {
        "x": Input("stage", "x", 0), "0": Input("stage", "0", 0), "img:1": Input("image", "img:1"), "ctx": Input("context", "ctx"),
    }  # fmt: skip
    assert found.stages[0].base == Input("image", "alpine:3")
    assert plan(text, "y").stages[0].base == Input("scratch", "scratch")


def test_a_number_is_a_stage_for_copy_and_an_image_for_mounts() -> None:
    found = plan("FROM a\nFROM b\nCOPY --from=0 x y").stages[-1]
    assert found.inputs["0"] == Input("stage", "0", 0)
    assert plan("FROM a\nFROM b\nRUN --mount=from=0,target=/x ls").stages[-1].inputs["0"] == Input("image", "0")


def test_a_context_goes_before_a_stage_and_an_image() -> None:
    found = plan("FROM a AS x\nRUN y\nFROM b\nCOPY --from=x c d", contexts=("x", "b"))
    assert order(found) == ["1"]
    assert found.stages[-1].base == Input("context", "b")
    assert plan("FROM a AS x\nRUN y", contexts=("x",)).stages[0].base == Input("context", "x")


def test_from_takes_only_earlier_stages() -> None:
    found = plan("FROM later\nFROM a AS later", "0")
    assert found.stages[0].base == Input("image", "later")
    assert plan("FROM x AS x").stages[0].base == Input("image", "x")


def test_from_is_expanded_by_what_stands_before_the_first() -> None:
    text = "ARG base=alpine\nARG tag\nFROM ${base}:${tag:-3} AS x\nFROM --platform=$p ${base}"
    assert plan(text, "x").stages[0].from_.image == "alpine:3"
    assert plan(text, "x", base="busybox", tag="9").stages[0].from_.image == "busybox:9"
    assert plan(text).stages[0].from_.platform == ""


@pytest.mark.parametrize(
    "text, target, line, message",
    [
        ("FROM a AS build\nFROM b", "biuld", 0, "there is no stage 'biuld' (did you mean build?)"), ("FROM a", "7", 0, "there is no stage '7'"),
        ("FROM a\nCOPY --from=1 x y", "", 2, "there is no stage 1"),
        ("FROM a AS x\nCOPY --from=x a b", "", 2, "stage x needs itself: x → x"), ("FROM a\nCOPY --from=0 a b", "", 2, "needs itself: 0 → 0"),
        ("FROM a AS x\nCOPY --from=y a b\nFROM b AS y\nCOPY --from=x a b", "", 2, "y → x → y"),
        ("FROM a AS x\nRUN --mount=from=z,target=/q ls\nFROM x AS y\nFROM y AS z", "", 2, "z → y → x → z"),
        ("FROM $x", "", 1, "the image's name is empty"), ("FROM ${x:?which}", "", 1, "x: which"), ("FROM ${x", "", 1, "no }"),
        ("FROM --platform=a/b/c/d x", "", 1, "is no platform"), ("ARG a=${b:=c}\nFROM $a", "", 1, "unsupported modifier"),
    ],
)  # fmt: skip
def test_what_cannot_be(text: str, target: str, line: int, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        plan(text, target)
    assert message in caught.value.message
    assert caught.value.details.get("line", 0) == line


def test_a_loop_that_the_target_does_not_need_does_not_matter() -> None:
    assert order(plan("FROM a AS x\nCOPY --from=x a b\nFROM b")) == ["1"]


def test_many_stages_in_a_row() -> None:
    text = "FROM a AS s0\n" + "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(2000))
    assert len(plan(text).stages) == 2001


@pytest.mark.parametrize("context", ["base", "base:latest", "docker.io/library/base", "library/base:latest"])
def test_a_context_goes_by_every_form_of_an_images_name(context: str) -> None:
    file = dockerfile.read(b"FROM docker.io/library/base\nCOPY --from=base:latest a /\n")
    [planned] = stages.plan(file, contexts=[context]).stages
    assert planned.base == stages.Input(stages.CONTEXT, context)
    assert planned.inputs["base:latest"] == planned.base
