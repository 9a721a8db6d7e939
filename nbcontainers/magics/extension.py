"""Loading and unloading: the shell gets two magics tables, one matcher, live views and a warm launcher; unloading takes
all back."""

from __future__ import annotations

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from nbcontainers import OBJECTS, view, widgets
from nbcontainers.launcher import client
from nbcontainers.magics.completion import Matcher
from nbcontainers.magics.following import Following
from nbcontainers.magics.magics import NBContainers

_MATCHER = "nbcontainers"


def load(shell: InteractiveShell) -> None:
    """Register everything; loading again replaces it. The launcher starts beside, nothing waits for it."""
    unload(shell)
    settings = NBContainers(shell)
    for kind, table in shell.magics_manager.magics.items():
        settings.displaced[kind] = {name: magic for name, magic in table.items() if name in settings.objects}
    shell.register_magics(settings)
    shell.input_transformers_cleanup.append(give_body)
    shell.Completer.custom_matchers.append(Matcher(settings.objects, shell.user_ns).matcher)
    widgets.mode, view.live, view.follow = settings.widgets, widgets.bundle, Following()
    view.patience = settings.progress_after
    shell.events.register("pre_run_cell", cell_begins)
    shell.events.register("post_run_cell", cell_ended)
    if widgets.wanted():
        widgets.channel().open()  # views of a kernel before this one, still in the page, find their way back
    client.warm()


def unload(shell: InteractiveShell) -> None:
    """Take away whatever a load of this or of a reloaded module left in the shell."""
    manager = shell.magics_manager
    manager.registry.pop(NBContainers.__name__, None)
    for kind, table in manager.magics.items():
        for name, magic in [(name, magic) for name, magic in table.items() if _ours(magic)]:
            del table[name]
            if its := _of_ipython(manager.registry, kind, name) or magic.settings.displaced[kind].get(name):
                table[name] = its
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != _MATCHER]
    transformers = shell.input_transformers_cleanup
    transformers[:] = [one for one in transformers if getattr(one, "__module__", "") != __name__]
    shell.configurables[:] = [one for one in shell.configurables if type(one).__name__ != NBContainers.__name__]
    for event in ("pre_run_cell", "post_run_cell"):
        callbacks = shell.events.callbacks[event]
        callbacks[:] = [one for one in callbacks if getattr(one, "__module__", "") != __name__]
    view.live = view.follow = None
    widgets.close()


def cell_begins(info: object) -> None:
    widgets.hold(True)


def cell_ended(result: object) -> None:
    widgets.hold(False)


def give_body(lines: list[str]) -> list[str]:
    """An empty line for a cell magic of ours without a body: IPython's own error for it would pass test runners."""
    first = lines[0].split() if lines else []
    alone = bool(first) and first[0].startswith("%%") and first[0][2:] in OBJECTS
    return [lines[0].rstrip("\n") + "\n", "\n"] if alone and not any(line.strip() for line in lines[1:]) else lines


give_body.has_side_effects = True  # type: ignore[attr-defined] # not asked while a terminal waits for more lines


def _of_ipython(registry: dict[str, Any], kind: str, name: str) -> Any:
    """The magic of that name among those IPython has loaded, which it does with some only when they are asked for."""
    return next((own.magics[kind][name] for own in registry.values() if name in own.magics.get(kind, {})), None)


def _ours(magic: Any) -> bool:
    return type(magic).__module__.startswith("nbcontainers.")
