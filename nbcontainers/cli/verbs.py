"""The objects and their verbs: `OBJECT VERB` is the public function VERB of `nbcontainers/OBJECT/api.py`.

A folder with an `api.py` is an object, a public function of it is a verb; nothing is declared twice. A trailing
underscore (`exec_`, `import_`) is Python's, not the verb's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from nbcontainers import OBJECTS, SHORTCUTS
from nbcontainers.cli.signature import Parameter, parameters
from nbcontainers.errors import InvalidArgument

_PACKAGE = Path(__file__).parent.parent

SUMMARIES = {
    "container": "Run programs in containers of their own, and look after them",
    "image": "The file systems containers start from",
    "builder": "What builds of images keep for the next ones",
    "volume": "Folders that outlive the containers using them",
    "network": "Networks between containers",
    "vm": "Virtual machines: an image with a kernel of its own",
    "system": "The engine itself: what it is, what it takes, what to tidy",
    "compare": "The same workload on the host, in containers, in virtual machines",
}

_USUAL = {"compare": "run"}
"""The verb that need not be typed."""
_LISTED = frozenset("Table list Container Image ImageHandle Volume Network".split())


@dataclass(frozen=True)
class Verb:
    """One verb: `run` of `container`, done by `function`. `given` are parameters that the face fills in itself."""

    object: str
    name: str
    function: Callable[..., Any]
    given: tuple[str, ...] = ()

    @cached_property
    def parameters(self) -> list[Parameter]:
        return [one for one in parameters(self.function) if one.name not in self.given]

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """The docstring below its first line, but for what it raises: that is Python's."""
        paragraphs = (inspect.getdoc(self.function) or "").split("\n\n")[1:]
        return "\n\n".join(one for one in paragraphs if not one.startswith("Raises "))

    def accepts(self, name: str) -> bool:
        """Whether the function itself has a parameter of that name, on the line or not."""
        return name in inspect.signature(self.function).parameters

    @property
    def lists(self) -> bool:
        """Whether it gives what has ids: a table, handles, or names; by its annotation, so that nothing is imported."""
        words = set(re.findall(r"\w+", str(inspect.signature(self.function).return_annotation)))
        return bool(words & _LISTED) and "dict" not in words

    def parameter(self, name: str) -> Parameter | None:
        return next((one for one in self.parameters if one.name == name), None)


@cache
def objects() -> tuple[str, ...]:
    """The objects that exist, in the order of the help."""
    found = {api.parent.name for api in _PACKAGE.glob("*/api.py")} & {*OBJECTS}
    return tuple(name for name in OBJECTS if name in found)


@cache
def verbs(object: str) -> dict[str, Verb]:
    """The verbs of an object by name, as its `api.py` lists them; importing it only now."""
    module = import_module(f"nbcontainers.{object}.api")
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    found = {}
    for name in names:
        function = getattr(module, name)
        own = getattr(function, "__module__", "").startswith(f"nbcontainers.{object}.")
        if inspect.isfunction(function) and own and not name.endswith("_async"):
            word = name.rstrip("_").replace("_", "-")
            found[word] = Verb(object, word, function)
    return found


def with_usual(object: str, words: list[str]) -> list[str]:
    """Words after an object, its usual verb before them where they begin with none: `compare --on …` is `compare run --on …`."""
    usual = _USUAL.get(object)
    if not usual or (words and (words[0] in verbs(object) or words[0] in ("-h", "--help", "help"))):
        return words
    return [usual, *words]


def verb(object: str, name: str, typed: str) -> Verb:
    """The verb `name` of `object`; InvalidArgument names the closest. `typed` is how the object was written."""
    known = verbs(object)
    if name in known:
        return known[name]
    if alias := {"list": "ls", "ls": "ps", "ps": "ls", "remove": "rm"}.get(name):
        if alias in known:
            return known[alias]
    close = get_close_matches(name, known, 1, 0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    raise InvalidArgument(f"{typed} has no verb {name!r}", hint=f"{guess}type {typed} --help")


def elsewhere(name: str) -> str:
    """The verb `name` of any object as one types it, the images' first: `tags` is `image tags`; "" for none."""
    found = [object for object in ("image", *objects()) if name in verbs(object)]
    return f"{found[0]} {name}" if found else ""


def as_typed(hint: str, prefix: str) -> str:
    """A hint's commands as this face types them: `container rm web` is `%container rm web` in a notebook."""
    for object in objects():
        words = "|".join(sorted(verbs(object), key=len, reverse=True))
        hint = re.sub(rf"(?<![\w/%-])(?:nbcontainers |%)?({object} (?:{words})\b)", rf"{prefix}\1", hint)
    return hint


def optional(module: str, name: str) -> Callable[..., Any] | None:
    """A function that may not be there, in a module that may not be there."""
    try:
        return getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return None


def shortcut(name: str) -> Verb | None:
    """The verb a shortcut stands for, if that object and verb exist."""
    if name not in SHORTCUTS:
        return None
    object, word = SHORTCUTS[name]
    return verbs(object).get(word) if object in objects() else None
