"""What is said beside a result."""

from __future__ import annotations

import pytest

from nbcontainers.advice import Advice, MovingTag, advise, advise_left_out, advised


def test_what_it_quotes_drives_no_terminal() -> None:
    """A layer's paths and a manifest's platform are a stranger's words."""
    for kind in (Advice, MovingTag):
        assert str(kind("of \x1b]0;evil\x07 and \x9b2J")) == "of \\x1b]0;evil\\x07 and \\x9b2J"


def test_it_is_of_the_line_that_asked_for_it() -> None:
    def verb() -> None:
        advise(Advice("as it is"), stacklevel=2)

    with pytest.warns(Advice, match="as it is") as told:
        verb()
    assert told[0].filename == __file__


def test_what_is_left_out_is_told_in_one_line() -> None:
    said: list[str] = []
    token = advised.set(lambda advice: said.append(str(advice)))
    try:
        advise_left_out("it", {"left_out": 0, "notes": []})
        advise_left_out("it", {"left_out": 7, "notes": [f"/{number}: a socket" for number in range(7)]})
    finally:
        advised.reset(token)
    (line,) = said
    assert line.startswith("it lacks 7 of the files: /0: a socket; ")
    assert line.endswith("/4: a socket; and 2 more")
