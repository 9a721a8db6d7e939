"""A Jupyter server of our own that serves JupyterLab and Notebook 7, and the Chromium that looks at them.

The server listens on loopback only; its home, settings and runtime files are in a folder of its own, and the engine is
the test session's. The browser resolves no name: nothing outside 127.0.0.1 is within its reach.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, sync_playwright

from tests import peers

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars",
         "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/themes": {"theme": "JupyterLab Light"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Server:
    """Where it answers, its token, its home, and the folder of notebooks it serves."""

    address: str
    token: str
    home: Path

    @property
    def work(self) -> Path:
        return self.home / "work"

    def ask(self, method: str, path: str) -> Any:
        """What the server's own interface answers: `ask("GET", "api/sessions")`."""
        request = urllib.request.Request(f"{self.address}/{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def trust(self, path: Path) -> None:
        """As if the notebook had been written here: its HTML is shown as it is."""
        content = nbformat.read(path, as_version=4)
        NotebookNotary(data_dir=str(self.home / "data")).sign(content)

    def end_kernels(self) -> None:
        for session in self.ask("GET", "api/sessions"):
            self.ask("DELETE", f"api/sessions/{session['id']}")


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Server]:
    """The server, until the end of the block."""
    (home / "work").mkdir()
    for plugin, settings in SETTINGS.items():
        choose(home, plugin, settings)
    server = Server(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), home)
    with open(home / "log", "w") as log:
        process = subprocess.Popen(
            command(server), env=environment(home), stdout=log, stderr=log, cwd=server.work, start_new_session=True
        )
    try:
        answers(server, process)
        yield server
        server.end_kernels()
    finally:
        process.terminate()
        process.wait(timeout=30)


def command(server: Server) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": server.address.rpartition(":")[2],
        "ServerApp.port_retries": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "ServerApp.root_dir": str(server.work),
        "IdentityProvider.token": server.token,
        "LabApp.expose_app_in_browser": "True",
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "JupyterNotebookApp.expose_app_in_browser": "True",
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's: neither settings nor extensions."""
    own = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data",
           "JUPYTER_RUNTIME_DIR": home / "runtime", "IPYTHONDIR": home / "ipython",
           "JUPYTERLAB_SETTINGS_DIR": home / "config/lab/user-settings",
           "JUPYTERLAB_WORKSPACES_DIR": home / "config/lab/workspaces"}  # fmt: skip
    return {**os.environ, **{name: str(path) for name, path in own.items()}}


def choose(home: Path, plugin: str, settings: dict[str, Any]) -> None:
    """Write a user's settings of a plugin (`@jupyterlab/NAME-extension/NAME`); a page reads them when it is loaded."""
    path = home / f"config/lab/user-settings/{plugin}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            server.ask("GET", "api")
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(f"the Jupyter server does not answer; its log ends with\n{(server.home / 'log').read_text()[-3000:]}")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's, without a window."""
    path = peers.program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
