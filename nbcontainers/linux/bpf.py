"""Classic BPF, as far as seccomp(2) takes it: an assembler and the decision trees made with it.

Jumps of classic BPF go forward only, so a program is written here from its last instruction to its first: then
the target of every jump is already in place, and each method returns the place of what it wrote. Only instructions
that the kernel's `seccomp_is_const_allow` (kernel/seccomp.c) can follow are used: a system call that is allowed
whatever its arguments are then costs one bit test in the kernel, and the filter does not run.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
EQUAL, GREATER_EQUAL = 0x15, 0x35

# struct seccomp_data, both machines little-endian
NUMBER, ARCHITECTURE = 0, 4
ARGUMENTS = 16

MAXIMUM = 4096
"""BPF_MAXINSNS: instructions of one program."""

_INSTRUCTION = struct.Struct("<HBBI")
_WORD = 1 << 32

Steps = Sequence[tuple[int, int]]
"""A step function of the accumulator: (first value, place to continue at), ascending, the first value the lowest."""


class Program:
    """A program under construction. A place is an instruction, counted from the end of the program."""

    def __init__(self) -> None:
        self._code: list[bytes] = []
        self._returns: dict[int, int] = {}
        self._values: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._code)

    def assemble(self) -> bytes:
        """The program as an array of struct sock_filter."""
        return b"".join(reversed(self._code))

    def give(self, value: int) -> int:
        """Return `value` to the kernel: one of SECCOMP_RET_*."""
        if value not in self._returns:
            self._emit_return(value)
        return self._returns[value]

    def load(self, offset: int, then: int) -> int:
        """Load the 32 bits of seccomp_data at `offset`, and go on at `then`."""
        self._fall_through(then)
        return self._emit(LOAD, k=offset)

    def mask(self, bits: int, then: int) -> int:
        """Keep only `bits` of the accumulator."""
        self._fall_through(then)
        return self._emit(AND, k=bits)

    def test(self, operation: int, value: int, yes: int, no: int) -> int:
        """Compare the accumulator with `value`."""
        if yes == no:
            return yes
        yes, no = self._reach(yes), self._reach(no)
        here = len(self._code)
        return self._emit(operation, here - yes - 1, here - no - 1, value)

    def choose(self, steps: Steps) -> int:
        """Binary search of the accumulator in a step function."""
        steps = _merged(steps)
        if len(steps) == 1:
            return steps[0][1]
        if len(steps) == 3 and steps[0][1] == steps[2][1] and steps[2][0] == steps[1][0] + 1:
            return self.test(EQUAL, steps[1][0], steps[1][1], steps[0][1])
        middle = len(steps) // 2
        high = self.choose(steps[middle:])
        low = self.choose(steps[:middle])
        return self.test(GREATER_EQUAL, steps[middle][0], high, low)

    def choose_wide(self, offset: int, steps: Steps) -> int:
        """The same for the 64 bits at `offset`: first the high word, then, only where it matters, the low one."""
        steps = _merged(steps)
        high_steps = []
        for high, low_steps in _by_high_word(steps):
            low = self.choose(low_steps)
            high_steps.append((high, low if len(low_steps) == 1 else self.load(offset, low)))
        return self.load(offset + 4, self.choose(high_steps))

    def _emit(self, code: int, yes: int = 0, no: int = 0, k: int = 0) -> int:
        self._code.append(_INSTRUCTION.pack(code, yes, no, k))
        return len(self._code) - 1

    def _emit_return(self, value: int) -> int:
        self._returns[value] = place = self._emit(RETURN, k=value)
        self._values[place] = value
        return place

    def _fall_through(self, then: int) -> None:
        if then != len(self._code) - 1:
            self._emit(JUMP, k=len(self._code) - then - 1)

    def _reach(self, target: int) -> int:
        """A place that does what `target` does and that two eight-bit jumps can still reach from here."""
        if len(self._code) - target - 1 < 255:
            return target
        if target in self._values:
            return self._emit_return(self._values[target])
        return self._emit(JUMP, k=len(self._code) - target - 1)


def _merged(steps: Steps) -> list[tuple[int, int]]:
    """Without the steps that change nothing."""
    return [step for index, step in enumerate(steps) if index == 0 or steps[index - 1][1] != step[1]]


def _by_high_word(steps: Steps) -> list[tuple[int, list[tuple[int, int]]]]:
    """Cut a step function of 64-bit values: for each range of high words, a step function of the low word."""
    cuts = {0}
    for first, _ in steps:
        cuts.add(first // _WORD)
        if first % _WORD:
            cuts.add(first // _WORD + 1)
    return [(high, _low_steps(steps, high)) for high in sorted(cuts) if high < _WORD]


def _low_steps(steps: Steps, high: int) -> list[tuple[int, int]]:
    base = high * _WORD
    at_base = [place for first, place in steps if first <= base][-1]
    inside = [(first - base, place) for first, place in steps if base < first < base + _WORD]
    return [(0, at_base), *inside]
