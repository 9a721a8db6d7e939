"""IPython's shell inside the container, made only for a cell that needs it (15 ms after IPython's import)."""

from __future__ import annotations

import os
import tempfile
from types import ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

if TYPE_CHECKING:
    from .show import Show


class Publisher(DisplayPublisher):
    """Displays go to the notebook."""

    cell: Any = None

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        source: Any = None,
        *,
        transient: Any = None,
        update: Any = False,
        **_: Any,
    ) -> None:
        self.cell.publish(data, metadata, transient, bool(update))

    def clear_output(self, wait: bool = False) -> None:
        self.cell.clear(wait)


class CellShell(InteractiveShell):
    """IPython without its history file, crash handlers and prompts."""

    kernel = None  # pandas takes a shell with this attribute for a notebook's

    def init_history(self) -> None:
        """No file: the cell is the notebook's, and its history too."""

    def init_sys_modules(self) -> None:
        """`__main__` is the cell's module already."""

    def init_display_pub(self) -> None:
        self.display_pub = Publisher(parent=self)  # type: ignore[no-untyped-call]

    def init_virtualenv(self) -> None:
        """The import path is the notebook's already."""

    def init_io(self) -> None:
        """Standard output is ours."""


def make(show: Show, module: ModuleType, header: dict[str, Any]) -> CellShell:
    """The one shell of the process: `get_ipython()` and IPython.display find it."""
    Publisher.cell = show
    config = Config({"HistoryManager": {"enabled": False}, "InlineBackend": header["inline"]})
    before = dict(module.__dict__)
    folder = tempfile.mkdtemp(prefix="ipython-", dir=None if os.access("/tmp", os.W_OK) else "/dev/shm")
    shell = CellShell.instance(config=config, ipython_dir=folder, user_module=module, user_ns=module.__dict__)
    shell.execution_count = header["execution_count"]
    for name in set(module.__dict__) - set(before) - {"_"}:
        del module.__dict__[name]  # In, Out, exit, …: not the cell's names
    return shell
