"""The assembler: what a decision tree says is what the step function says, however long the program is."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbcontainers.linux import bpf
from tests.bpf import Filter

DETERMINISTIC = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))  # a busy machine

WORD = st.one_of(st.integers(0, 40), st.integers(0, 0xFFFFFFFF), st.sampled_from([0xFFFFFFFE, 0xFFFFFFFF, 1 << 31]))
WIDE = st.one_of(WORD, st.integers(0, (1 << 64) - 1), WORD.map(lambda word: word << 32), st.just((1 << 64) - 1))


def expected(steps: list[tuple[int, int]], value: int) -> int:
    return [verdict for first, verdict in steps if first <= value][-1]


def step_function(firsts: set[int], verdicts: list[int]) -> list[tuple[int, int]]:
    return [(first, verdicts[i % len(verdicts)]) for i, first in enumerate(sorted({0} | firsts))]


VERDICTS = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@DETERMINISTIC
@given(st.sets(WORD, max_size=60), VERDICTS, st.lists(WORD, max_size=20))
def test_choose_is_the_step_function(firsts: set[int], verdicts: list[int], values: list[int]) -> None:
    steps = step_function(firsts, verdicts)
    program = bpf.Program()
    program.load(bpf.NUMBER, program.choose([(first, program.give(verdict)) for first, verdict in steps]))
    run = Filter(program.assemble())
    for value in [*values, *firsts, *(first - 1 for first in firsts if first), *(f + 1 for f in firsts)]:
        if value <= 0xFFFFFFFF:
            assert run(value) == expected(steps, value)


@DETERMINISTIC
@given(st.sets(WIDE, max_size=40), VERDICTS, st.lists(WIDE, max_size=20), st.integers(0, 5))
def test_choose_wide_compares_all_64_bits(
    firsts: set[int], verdicts: list[int], values: list[int], argument: int
) -> None:
    steps = step_function(firsts, verdicts)
    program = bpf.Program()
    offset = bpf.ARGUMENTS + 8 * argument
    program.choose_wide(offset, [(first, program.give(verdict)) for first, verdict in steps])
    run = Filter(program.assemble())
    for value in [*values, *firsts, *(first - 1 for first in firsts if first), *(f + 1 for f in firsts)]:
        if value < 1 << 64:
            assert run(0, [0] * argument + [value]) == expected(steps, value)


@settings(DETERMINISTIC, max_examples=8)
@given(st.integers(300, 1500), st.integers(2, 900))
def test_jumps_reach_over_more_than_255_instructions(ranges: int, verdicts: int) -> None:
    steps = [(number, number % verdicts) for number in range(ranges)]
    program = bpf.Program()
    program.load(bpf.NUMBER, program.choose([(first, program.give(verdict)) for first, verdict in steps]))
    run = Filter(program.assemble())
    assert len(run) > 256
    assert all(run(number) == verdict for number, verdict in steps)
    assert run.longest_path() < 2 * 12 + 8  # log2 and the jumps over what is far away


def test_a_single_number_costs_one_comparison() -> None:
    program = bpf.Program()
    yes, no = program.give(1), program.give(0)
    program.load(bpf.NUMBER, program.choose([(0, no), (7, yes), (8, no)]))
    assert len(Filter(program.assemble())) == 4


def test_tests_that_decide_nothing_are_left_out() -> None:
    program = bpf.Program()
    no = program.give(0)
    assert program.test(bpf.EQUAL, 7, no, no) == no
    assert program.choose([(0, no), (7, no), (900, no)]) == no
    assert len(program) == 1
