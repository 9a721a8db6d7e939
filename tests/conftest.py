"""Fixtures of every test: an engine of one's own, peers, and the check that nothing was left behind.

Fixtures for all:
  engine        the session's engine (root and run under /dev/shm or $NBCONTAINERS_TESTS_DIR); also in os.environ
  fresh_engine  an empty engine for one test
  cli           runs `python -m nbcontainers …` with the session's engine
  peer          peer("crun"): path of a program to compare with; skips on a laptop, fails in CI
  bundle        bundle(config): an OCI bundle with a busybox root file system
  liar          a registry that answers what it is told to (tests/registries.py); nobody has credentials or proxies
  docker_registry, docker_registry_users, docker_registry_tls   Debian's docker-registry, one a session in each form
Every test in tests/system is checked for leaks (tests/host.py); `@pytest.mark.leaks("why")` turns that off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import host, peers

CI = bool(os.environ.get("CI"))
HERE = Path(__file__).parent
SYSTEM = HERE / "system"
NO_HUB = '[registry."docker.io"]\nblocked = true\n'
"""Nothing that a test does leaves this machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of ours is imported: an engine that is never the user's own, and a mark on our processes."""
    base = Path(os.environ.get("NBCONTAINERS_TESTS_DIR") or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"))
    folder = Path(tempfile.mkdtemp(prefix="nbc-tests-", dir=base))
    os.environ.setdefault(host.MARK, uuid.uuid4().hex)
    os.environ["NBCONTAINERS_ROOT"] = str(folder / "root")
    os.environ["NBCONTAINERS_RUN"] = str(folder / "run")
    (folder / "registries.toml").write_text(NO_HUB)
    os.environ["NBCONTAINERS_REGISTRIES"] = str(folder / "registries.toml")
    os.environ["NBCONTAINERS_NETWORK"] = "none"  # only tests in a network namespace of their own make networks
    config.add_cleanup(lambda: tidy(folder))


def tidy(folder: Path) -> None:
    """End the session's launcher and remove its engine; files of mapped uids go through the launcher."""
    remove_engine(folder)


def remove_engine(folder: Path) -> None:
    """Remove an engine's root and run folders; for an ordinary user also its pause process."""
    if os.geteuid() and (folder / "run").exists():  # a notebook's too, which this process knows nothing of
        from nbcontainers.launcher import client, pause

        client.call("nbcontainers.image.snapshot:discard", folders=[str(folder / "root")])
        close_launcher()
        deadline = time.monotonic() + 5
        while pause.find(str(folder / "run")) and not pause.end_if_unused(str(folder / "run")):
            if time.monotonic() > deadline:
                break  # a process is left in it, which the leak check tells better
            time.sleep(0.01)
    close_launcher()
    shutil.rmtree(folder, ignore_errors=True)


def close_launcher() -> None:
    client = sys.modules.get("nbcontainers.launcher.client")
    if client is not None:
        client.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this user can never run, so that a skip always means something that is missing."""
    wrong = {"as_user"} if os.geteuid() == 0 else {"as_root"}
    wrong.add("without_limits" if writable_cgroup() else "limits")
    selected = [item for item in items if not any(item.get_closest_marker(name) for name in wrong)]
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected


def writable_cgroup() -> bool:
    """Whether the cgroup this process is in may be written to, in the hierarchy that limits memory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return os.access(f"/sys/fs/cgroup/memory{path}", os.W_OK)
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return os.access(f"/sys/fs/cgroup{path}", os.W_OK)
    return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure, unless the test says that and why it may be skipped there."""
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("may_skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every system test leaves mounts, cgroups, namespaces, links, processes and files as they were."""
    if not request.path.is_relative_to(SYSTEM) or request.node.get_closest_marker("leaks"):
        yield
        return
    warm_launcher()
    before = host.snapshot()
    yield
    left = host.leaked(before)
    if left:
        pytest.fail(f"left behind:\n{host.report(left)}", pytrace=False)


def warm_launcher() -> None:
    """The session's launcher (and, for an ordinary user, its pause process) lives on: it is no leak of one test."""
    if importlib.util.find_spec("nbcontainers.launcher.client"):
        importlib.import_module("nbcontainers.launcher.client").call("os:getpid")


@pytest.fixture(scope="session")
def engine() -> Any:
    """The engine of this test session."""
    from nbcontainers.engine import default_engine

    return default_engine()


@contextlib.contextmanager
def another_engine() -> Iterator[Any]:
    """An empty engine, the default one of this process and of those it starts."""
    from nbcontainers.engine import default_engine

    folder = Path(tempfile.mkdtemp(prefix="fresh-", dir=Path(os.environ["NBCONTAINERS_ROOT"]).parent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBCONTAINERS_ROOT", str(folder / "root"))
        patch.setenv("NBCONTAINERS_RUN", str(folder / "run"))
        close_launcher()
        default_engine.cache_clear()
        yield default_engine()
        remove_engine(folder)
    default_engine.cache_clear()


@pytest.fixture
def fresh_engine() -> Iterator[Any]:
    """An empty engine for one test; the default of everything called in the test."""
    with another_engine() as engine:
        yield engine


@pytest.fixture
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`cli("image", "ls")`: the command line, to its end."""

    def run(*words: str, timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nbcontainers", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)

    return run


@pytest.fixture
def peer() -> Callable[[str], str]:
    """`peer("crun")`: the path of a program we compare with."""
    return peers.program


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[[Mapping[str, Any]], Path]:
    """`bundle(config)`: an OCI bundle with a busybox root file system."""
    return lambda config: peers.write_bundle(tmp_path / "bundle", config)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without credentials, in an environment without proxies; its path."""
    for name in (
        "REGISTRY_AUTH_FILE",
        "DOCKER_CONFIG",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "NBCONTAINERS_REGISTRIES",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def liar(nobody: Path) -> Iterator[Any]:
    """A registry that answers what it is told to; see tests/registries.py."""
    from tests import registries

    with registries.lying_registry() as one:
        yield one


def _registry(name: str, **form: bool) -> Any:
    @pytest.fixture(scope="session", name=name)
    def fixture() -> Iterator[Any]:
        from tests import registries

        with registries.docker_registry(Path(os.environ["NBCONTAINERS_ROOT"]).parent / name, **form) as one:
            yield one

    return fixture


docker_registry = _registry("docker_registry")
docker_registry_users = _registry("docker_registry_users", users=True)
docker_registry_tls = _registry("docker_registry_tls", tls=True)
