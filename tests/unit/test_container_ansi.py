"""Colours of programs: kept where they are harmless, shown in colours that can be read, and nothing else passes."""

from __future__ import annotations

import pytest

from nbcontainers.container import ansi


def test_text_keeps_colours_and_ends_them():
    assert ansi.text("plain") == "plain"
    assert ansi.text("\x1b[1;31mred") == "\x1b[1;31mred\x1b[0m"


@pytest.mark.parametrize(
    "hostile",
    ["\x1b[2J", "\x1b[1A", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1bP+q\x1b\\", "\x9b31m", "a\rb", "\x08", "\x7f",
     "\x1b[?25l", "\u202e", "\x1b[31;1H"],
)  # fmt: skip
def test_what_drives_a_terminal_is_escaped(hostile):
    for shown in (ansi.text(hostile), ansi.html(hostile)):
        assert shown.isprintable()


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("\x1b[31mx\x1b[0my", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">x</span>y'),
        ("\x1b[91mx", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">x</span>'),
        ("\x1b[38;5;9mx", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">x</span>'),
        ("\x1b[38;2;250;10;10mx", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">x</span>'),
        ("\x1b[38:2:250:10:10mx", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">x</span>'),
        ("\x1b[38;5;196mx", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">x</span>'),
        ("\x1b[1mx\x1b[22my", '<span style="font-weight: 600">x</span>y'),
        ("\x1b[4;42mx\x1b[49my", '<span style="text-decoration: underline; background: #2a9d4a; color: #000">x</span>'
         '<span style="text-decoration: underline">y</span>'),
        ("\x1b[37mx\x1b[39;38;2;255;255;255my", "xy"),
        ("\x1b[8mhidden", "hidden"),
        ("\x1b[38;5mx\x1b[38mx\x1b[999mx\x1b[;mx", "xxxx"),
        ("\x1b[31m<b>&\"", '<span style="color: color-mix(in srgb, #d1434b 60%, currentColor)">&lt;b&gt;&amp;&quot;</span>'),
    ],
)  # fmt: skip
def test_html(line, html):
    assert ansi.html(line) == html
