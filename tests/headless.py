"""A notebook run without a front end, and what is left of HTML where a page takes away what it does not trust."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import nbformat

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


def executed(path: Path, result: Path, *, command: Sequence[str] = (), timeout: float = 350) -> nbformat.NotebookNode:
    """The notebook with its outputs, by `jupyter execute`; `command` goes before it. Fails where a cell does."""
    words = [
        str(Path(sys.executable).with_name("jupyter")),
        "execute",
        str(path),
        f"--output={result}",
        "--timeout=300",
    ]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return nbformat.read(result, as_version=4)


def in_a_network() -> list[str]:
    """What goes before a command that is to make networks where these are nobody else's: an ordinary user's always are."""
    own = ["env", "-u", "NBCONTAINERS_NETWORK"]
    if os.geteuid() != 0:
        return own
    return [*own, "unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]


class Words(HTMLParser):
    """The words of HTML in the order of the document, and what it holds that a page may refuse or must not have.

    `alt` and `aria-label` count as words: they are what a person hears who does not see.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words += data.split()


def stripped(html: str) -> str:
    """What a page like GitHub's leaves of it: no style, no class, no script, no data; text and structure."""
    html = re.sub(r"<(style|script)\b.*?</\1>", "", html, flags=re.S)
    return re.sub(r"""\s(style|class|id|on\w+|data-[\w-]+)=("[^"]*"|'[^']*')""", "", html)
