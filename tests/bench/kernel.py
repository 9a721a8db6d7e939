"""A real Jupyter kernel with nbcontainers in it: the place from which the user's `run` starts."""

from __future__ import annotations

import ast
from typing import Any, Self

from jupyter_client.manager import KernelManager

SETUP = """
import time, nbcontainers
from nbcontainers.container import api as container
from nbcontainers.launcher import client as launcher

def timed(function, *words, **options):
    begun = time.perf_counter()
    function(*words, **options)
    return time.perf_counter() - begun

def run_true():
    limits = {"memory": "256m", "cpus": "1", "pids_limit": 100}
    return timed(container.run, "mini", "/bin/true", rm=True, network="none", **limits)
"""


class Kernel:
    """Starts an ipykernel; `value(expression)` evaluates there and brings the literal back."""

    def __init__(self, *cells: str) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        for cell in (SETUP, *cells):
            self.execute(cell)

    def execute(self, code: str, expression: str = "None") -> Any:
        """Run the code; the literal value of `expression` afterwards."""
        identifier = self.client.execute(code, silent=True, user_expressions={"value": expression})
        while True:
            reply = self.client.get_shell_msg(timeout=300)
            if reply["parent_header"].get("msg_id") == identifier:
                break
        content = reply["content"]
        shown = content.get("user_expressions", {}).get("value", {})
        if content["status"] != "ok" or shown.get("status") != "ok":
            failed = content if content["status"] != "ok" else shown
            raise RuntimeError(f"in the kernel: {failed.get('ename')}: {failed.get('evalue')}")
        return ast.literal_eval(shown["data"]["text/plain"])

    def value(self, expression: str) -> Any:
        return self.execute("", expression)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel()
