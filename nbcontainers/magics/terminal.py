"""`-it` from a cell: a terminal in the page; IPython's own where that has one; an error where nobody could type."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from nbcontainers import widgets
from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import InvalidArgument

if TYPE_CHECKING:
    from nbcontainers.container.options import ExecOptions, RunOptions
    from nbcontainers.container.terminal import Terminal
    from nbcontainers.vm.options import CommandOptions, MachineOptions

_shown: dict[str, tuple[int, list[Terminal]]] = {}
"""By cell: which of its runs it was, and the terminals it showed; cells whose terminals have all ended are forgotten."""


def asked(verb: Verb, call: Call) -> bool:
    """Whether the line wants the keys of a person and a terminal for them."""
    options = call.options
    if options.get("detach") or len(call.arguments) < (verb.name in ("run", "exec", "attach", "start")):
        return False
    if verb.name in ("run", "exec"):
        return bool(options.get("tty") and options.get("interactive"))
    reads = (verb.name == "attach" and not options.get("no_stdin")) or (
        verb.name == "start" and options.get("interactive")
    )
    return bool(reads) and len(call.arguments) == 1 and _has_one(call.arguments[0])


def is_one(result: Any) -> bool:
    """Whether that is a terminal: asked for by name, it is shown also where cards are not."""
    from nbcontainers.container.terminal import Terminal

    return isinstance(result, Terminal)


def possible() -> bool:
    """Whether there is a page for one, or a terminal that is ours."""
    return widgets.wanted() or _own()


def somebody(verb: Verb) -> bool:
    """Whether there is one. Raises InvalidArgument for a program that makes no sense without."""
    if possible():
        return True
    if verb.name not in ("run", "exec"):
        return False  # what it writes can be followed all the same
    raise InvalidArgument(
        f"{verb.name} -it needs somebody who types, and no notebook page is open here",
        hint=f"leave -it out and write the input below %%{verb.object} {verb.name} …, or type nbcontainers "
        f"{'' if verb.object == 'container' else 'vm '}{verb.name} -it … in a terminal",
    )


def run(verb: Verb, call: Call, options: dict[str, Any]) -> Any:
    """Returns the terminal, which goes on when the cell has ended; in IPython's own what the verb returns, at its end."""
    if not widgets.wanted():
        from nbcontainers.cli import foreground

        return foreground.follow(verb, replace(call, options=options))
    cell, number = _cell()
    before, several = _shown.pop(cell, (number, []))
    if before != number:
        for one in several:
            one.close()  # the cell is run again, and nobody could see it any more
        several = []
    terminal = _opened(verb, list(call.arguments), options)
    for known in [known for known, (_, shown) in _shown.items() if not any(one.running for one in shown)]:
        del _shown[known]  # or what they wrote would stay as long as the kernel
    _shown[cell] = number, [*several, terminal]
    return terminal


def _cell() -> tuple[str, int]:
    """Which cell is being run, where the front end says it, and the number of its run."""
    kernel = widgets.kernel()
    return str(kernel.get_parent().get("metadata", {}).get("cellId", "")), kernel.execution_count


def _opened(verb: Verb, words: list[Any], options: dict[str, Any]) -> Terminal:
    from nbcontainers.container import opening
    from nbcontainers.container.container import find
    from nbcontainers.engine import default_engine
    from nbcontainers.magics.running import pulling

    options.pop("raise_error", None)  # what happens after the cell has ended cannot fail it
    if verb.object == "vm":
        return _of_machine(verb, words, options)
    if verb.name == "run":
        with pulling(verb, words, options):
            listener = options.pop("on_pull")
            return opening.run(default_engine(), words[0], words[1:], cast("RunOptions", options), listener)
    container = find(default_engine(), words[0])
    if verb.name == "exec":
        return opening.execute(container, words[1:], cast("ExecOptions", options))
    return {"attach": opening.attach, "start": opening.start}[verb.name](container, options.get("detach_keys"))


def _of_machine(verb: Verb, words: list[Any], options: dict[str, Any]) -> Terminal:
    from nbcontainers.engine import default_engine
    from nbcontainers.magics.running import pulling
    from nbcontainers.vm import finding, opening

    if verb.name == "exec":
        machine = finding.find(default_engine(), words[0])
        return opening.execute(machine, words[1:], cast("CommandOptions", options))
    with pulling(verb, words, options):
        listener = options.pop("on_pull")
        return opening.run(default_engine(), words[0], words[1:], cast("MachineOptions", options), listener)


def _has_one(container: Any) -> bool:
    from nbcontainers.container.container import find
    from nbcontainers.engine import default_engine

    record = find(default_engine(), container).record
    return bool(record["tty"] and record["interactive"])


def _own() -> bool:
    """IPython in a terminal."""
    return widgets.kernel() is None and sys.stdin is not None and os.isatty(0) and os.isatty(1)
