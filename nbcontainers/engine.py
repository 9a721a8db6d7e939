"""Where this user's containers live: frozen settings, read from the environment once."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbcontainers.errors import HostNotCapable


@dataclass(frozen=True)
class Engine:
    """`root` holds what lasts (images, containers, volumes), `run` what dies with the machine (state, sockets)."""

    root: Path
    run: Path
    rootless: bool

    @property
    def images(self) -> Path:
        """A plain OCI image layout."""
        return self.root / "images"

    @property
    def snapshots(self) -> Path:
        """One folder a layer, unpacked, named by ChainID."""
        return self.root / "snapshots"

    @property
    def containers(self) -> Path:
        """One folder a container: its OCI bundle."""
        return self.root / "containers"

    @property
    def names(self) -> Path:
        """One symbolic link a container name, pointing at the container's id."""
        return self.root / "names"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def prepare(self) -> Engine:
        """Make the folders, closed to everybody else."""
        for folder in (self.root, self.run):
            make_private(folder)
        for folder in (self.images, self.snapshots, self.containers, self.names, self.cache):
            folder.mkdir(mode=0o700, exist_ok=True)
        return self


def make_private(folder: Path) -> None:
    """A folder that is ours alone; somebody else's folder at that place is refused."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise HostNotCapable(
            f"{folder} belongs to uid {status.st_uid}, not to us",
            hint="set NBCONTAINERS_ROOT and NBCONTAINERS_RUN to folders of your own",
        )
    if status.st_mode & 0o077:
        folder.chmod(0o700)


@cache
def default_engine() -> Engine:
    """The engine of this user: rootful for root, rootless for anybody else."""
    rootless = os.geteuid() != 0
    root, run = _rootless_folders() if rootless else (Path("/var/lib/nbcontainers"), Path("/run/nbcontainers"))
    root = Path(os.environ.get("NBCONTAINERS_ROOT", root)).absolute()
    run = Path(os.environ.get("NBCONTAINERS_RUN", run)).absolute()
    return Engine(root, run, rootless).prepare()


def _rootless_folders() -> tuple[Path, Path]:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    run = os.environ.get("XDG_RUNTIME_DIR")
    # in /tmp our folder lies right below: whoever owned one in between could exchange it
    return Path(data) / "nbcontainers", Path(run, "nbcontainers") if run else Path(f"/tmp/nbcontainers-{os.geteuid()}")
