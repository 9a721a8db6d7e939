"""Containers in a notebook cell: our own runtime, no daemon, every limit measured.

    import nbcontainers as nbc
    c = nbc.run("mini", "echo", "hello", memory="64m")     # or: %container run -m 64m mini echo hello

The words:

  image       a file system in layers and a config; `host` and `mini` are always there
  layer       a set of file changes; an image is a stack of them, shared between images
  container   a process with an image's file system and namespaces, cgroup and limits of its own
  namespace   what a process sees: its processes, mounts, network, host name, users
  cgroup      what a process gets: memory, CPU, processes, disk; also where it is measured
  network     a bridge with addresses of its own; its containers find each other by name
  volume      a folder that outlives the containers using it
  vm          a virtual machine: an image with a kernel of its own below it
  target      what a comparison runs a program on: the host, a container of ours or another's, a virtual machine
  bundle      a container on disk: config.json (OCI runtime-spec) beside what its monitor wrote
  monitor     the small process beside each container: output, log, exit status, clean-up
  launcher    the one helper process of this notebook; it forks the monitors

`OBJECT VERB` on a line is `nbcontainers.OBJECT.VERB(...)` in Python; `run`, `ps`, `exec_`, `images` … are short
forms, as Docker has them. In IPython: `%load_ext nbcontainers`, then `%container --help`.
"""

from __future__ import annotations

from nbcontainers.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from IPython.core.interactiveshell import InteractiveShell

__version__ = VERSION

OBJECTS = ("container", "image", "builder", "volume", "network", "vm", "system", "compare")
SHORTCUTS = {
    **{verb: ("container", verb) for verb in (
        "run", "ps", "exec", "logs", "rm", "stop", "kill", "start", "create", "wait", "top", "stats", "attach",
        "restart", "pause", "unpause", "rename", "update", "port", "cp", "commit", "diff", "export", "inspect",
    )},
    **{verb: ("image", verb) for verb in (
        "pull", "push", "build", "save", "load", "import", "tag", "history", "login", "logout",
    )},
    "images": ("image", "ls"),
    "rmi": ("image", "rm"),
    "info": ("system", "info"),
    "events": ("system", "events"),
}  # fmt: skip
"""What may be said without the object: on the command line as in Python."""


def __getattr__(name: str) -> Any:
    """Objects, shortcuts and submodules on first use (PEP 562)."""
    from importlib import import_module
    from importlib.util import find_spec

    object, verb = SHORTCUTS.get(name.rstrip("_"), ("", "")) if not name.startswith("_") else ("", "")
    if object and find_spec(f"{__name__}.{object}.api"):
        api = import_module(f"{__name__}.{object}.api")
        if function := getattr(api, verb, None) or getattr(api, f"{verb}_", None):
            return function
    elif name.isidentifier() and not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is there now: `SHORTCUTS` also has the place of verbs to come."""
    import sys

    words = (*OBJECTS, *(f"{word}_" if word in ("exec", "import") else word for word in SHORTCUTS))
    return sorted({*globals(), *(word for word in words if hasattr(sys.modules[__name__], word))})


def load_ipython_extension(ip: InteractiveShell) -> None:
    """`%load_ext nbcontainers`: the magics and their completion."""
    _extension().load(ip)


def unload_ipython_extension(ip: InteractiveShell) -> None:
    """`%unload_ext nbcontainers`: nothing of ours stays in the shell."""
    _extension().unload(ip)


def _extension() -> Any:
    """By name, not by an import statement: the package is below its own faces."""
    from importlib import import_module

    return import_module(f"{__name__}.magics.extension")
