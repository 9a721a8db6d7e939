"""How an executed command shows itself: one line of text, and the same as HTML."""

from __future__ import annotations

from nbcontainers.container.execution import Executed


def test_text_and_html_say_the_same() -> None:
    shown = Executed("web", ("sh", "-c", "echo <b>;\nexit 3"), 3, 1.25)._repr_mimebundle_()
    text, html = shown["text/plain"], shown["text/html"]
    assert text == "<exec in web: sh -c 'echo <b>;\\nexit 3': exit 3 after 1.25 s>"
    assert "<b>web</b>" in html
    assert "exit 3 after 1.25 s" in html
    assert "echo &lt;b&gt;;\\nexit 3" in html


def test_one_in_the_background_has_no_end_yet() -> None:
    assert repr(Executed("web", ("sleep", "9"), None, 0.1)) == "<exec in web: sleep 9: in the background>"
