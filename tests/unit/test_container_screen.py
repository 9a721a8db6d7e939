"""What a terminal's output leaves on the screen, as text."""

from __future__ import annotations

import time

import pytest

from nbcontainers.container.screen import HISTORY, Screen


def shown(output: str | bytes, rows: int = 5, columns: int = 10) -> list[str]:
    screen = Screen(rows, columns)
    screen.feed(output if isinstance(output, bytes) else output.encode())
    return screen.lines()


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("$ ls\b \b\b \bpwd", ["$ pwd"]),
        ("50 %\r100 %", ["100 %"]),
        ("a\tb", ["a       b"]),
        ("0123456789ab", ["0123456789", "ab"]),
        ("0123456789\r\nab", ["0123456789", "ab"]),
        ("\x1b[31mred\x1b[0m \x1b[1;38;5;12mblue\x1b[m", ["red blue"]),
        ("\x1b]0;a title\x07x\x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\", ["xlink"]),
        ("\x1bPq#0;2;0;0;0\x1b\\after", ["after"]),
        ("ab\x1b[2J\x1b[Hx", ["x"]),
        ("abcdef\x1b[4D\x1b[K", ["ab"]),
        ("abcdef\x1b[3D\x1b[1K", ["    ef"]),
        ("abc\x1b[2;3Hx\x1b[1;1Hz", ["zbc", "  x"]),
        ("abc\x1b[2D\x1b[@x", ["axbc"]),
        ("abcdef\x1b[5D\x1b[2P", ["adef"]),
        ("abcdef\x1b[6D\x1b[2X", ["  cdef"]),
        ("1\r\n2\r\n3\x1b[2;1H\x1b[L", ["1", "", "2", "3"]),
        ("1\r\n2\r\n3\x1b[1;1H\x1b[M", ["2", "3"]),
        ("1\r\n2\x1b[1;1H\x1bM0", ["0", "1", "2"]),
        ("x\x1b[3b", ["xxxx"]),
        ("\x1b(0lqk\x1b(Blqk", ["┌─┐lqk"]),
        ("\x1b7abc\x1b8x", ["xbc"]),
        ("一二三四五六", ["一二三四五", "六"]),
        ("e\u0301a", ["e\u0301a"]),
        ("\x00\x07a\x1b", ["a"]),
        ("\x1b[999;999Hx\x1b[Ay", ["", "", "", "         y", "         x"]),
    ],
)
def test_what_is_left(output: str, lines: list[str]) -> None:
    assert shown(output) == lines


def test_what_scrolls_away_is_history() -> None:
    assert shown("".join(f"{n}\r\n" for n in range(9)), rows=3) == [str(n) for n in range(9)]
    assert len(shown("x\r\n" * 1000, rows=3)) == HISTORY + 2


def test_a_full_screen_program_leaves_what_was_there() -> None:
    edit = "$ vi\r\n\x1b[?1049h\x1b[2J\x1b[Hedited\x1b[5;1H:q"
    assert shown(edit) == ["edited", "", "", "", ":q"]
    assert shown(edit + "\x1b[?1049l$ ") == ["$ vi", "$"]


def test_a_region_scrolls_alone() -> None:
    assert shown("a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3;1H\n\x1b[r\x1b[4;2He") == ["a", "c", "", "de"]


def test_pieces_and_bytes_that_are_no_text() -> None:
    assert shown(b"\xff\xfeok") == ["\ufffd\ufffdok"]
    screen = Screen(5, 10)
    for byte in b"a\x1b[1C" + b"b":
        screen.feed(bytes([byte]))
    assert "b" in screen.lines()[0]


def test_nothing_in_it_is_slow_or_raises() -> None:
    import random

    letters = random.Random(1)
    noise = bytes(letters.choice(b"\x1b[];?0159HJKLMPX@\r\n\tabc\xe4\xb8\x80") for _ in range(1 << 16))
    begun = time.monotonic()
    screen = Screen(24, 80)
    screen.feed(noise)
    assert time.monotonic() - begun < 5
    assert all(isinstance(line, str) for line in screen.lines())
