"""A real ipykernel to run cells in: what they showed, when, and how they ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel


@dataclass
class Cell:
    """One executed cell: its messages in order with their times, and its reply."""

    messages: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def text(self, stream: str = "stdout") -> str:
        return "".join(m["text"] for _, kind, m in self.messages if kind == "stream" and m["name"] == stream)

    def times(self, stream: str = "stdout") -> list[float]:
        """When each message of a stream came, in seconds since the start."""
        return [at for at, kind, m in self.messages if kind == "stream" and m["name"] == stream]

    def shown(self, mime: str = "text/plain") -> list[str]:
        """Displays, what was drawn over them, and results, in their order."""
        kinds = ("display_data", "update_display_data", "execute_result")
        return [m["data"].get(mime, "") for _, kind, m in self.messages if kind in kinds]

    @property
    def error(self) -> str:
        """The name of the error that failed the cell, or nothing."""
        return str(self.reply.get("ename", "")) if self.reply.get("status") == "error" else ""

    @property
    def traceback(self) -> str:
        return "\n".join(self.reply.get("traceback", ()))


class Kernel:
    """A kernel with our extension loaded and its launcher at work."""

    def __init__(self) -> None:
        manager, client = start_new_kernel(kernel_name="python3")
        self.manager: KernelManager = manager
        self.client: BlockingKernelClient = client
        loaded = self.run("%load_ext nbcontainers\nimport nbcontainers.launcher.client as _c; _c.call('os:getpid')")
        assert not loaded.error, loaded.traceback

    def run(self, code: str, *, timeout: float = 60, interrupts: tuple[float, ...] = (), somebody: bool = True) -> Cell:
        """Run a cell to its end; `interrupts` are the seconds at which the stop button is pressed. Without `somebody` it
        is run as nbclient does, where nobody looks."""
        began, cell, left = time.monotonic(), Cell(), list(interrupts)
        id = self.client.execute(code, allow_stdin=somebody)
        while True:
            passed = time.monotonic() - began
            if left and passed >= left[0]:
                left.pop(0)
                self.manager.interrupt_kernel()
            assert passed < timeout, f"no end after {timeout} s: {cell.messages[-3:]}"
            try:
                message = self.client.get_iopub_msg(timeout=0.02)
            except Exception:  # queue.Empty, under the names of two libraries
                continue
            if message["parent_header"].get("msg_id") != id:
                continue
            kind, content = message["msg_type"], message["content"]
            cell.messages.append((time.monotonic() - began, kind, content))
            if kind == "status" and content["execution_state"] == "idle":
                break
        cell.seconds = time.monotonic() - began
        while (reply := self.client.get_shell_msg(timeout=timeout))["parent_header"]["msg_id"] != id:
            pass
        cell.reply = reply["content"]
        return cell

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)
