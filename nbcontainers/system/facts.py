"""`system info`: the engine and the host in facts, each looked up now."""

from __future__ import annotations

import os
import sys
from typing import Any

from nbcontainers.cgroups import detect
from nbcontainers.engine import Engine
from nbcontainers.launcher import pause
from nbcontainers.version import VERSION


def info(engine: Engine) -> dict[str, Any]:
    """Plain JSON."""
    from nbcontainers.container import store
    from nbcontainers.container.container import status
    from nbcontainers.image import api as images
    from nbcontainers.network import api as networks
    from nbcontainers.volume import store as volumes

    statuses = [status(engine, id) for id in store.ids(engine)]
    system = os.uname()
    return {
        "version": VERSION,
        "python": sys.version.split()[0],
        "kernel": system.release,
        "machine": system.machine,
        "processors": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "root": str(engine.root),
        "run": str(engine.run),
        "rootless": engine.rootless,
        "pause_pid": pause.find(str(engine.run)) if engine.rootless else None,
        "cgroups": detect.default_cgroup("probe", rootless=engine.rootless).record["kind"],
        "controllers": sorted(detect.controllers(rootless=engine.rootless)),
        "containers": {status: statuses.count(status) for status in sorted(set(statuses))},
        "images": len(images.ls(engine=engine)),
        "volumes": len(volumes.names(str(engine.root))),
        "networks": [row["name"] for row in networks.ls(engine=engine)],
    }
