"""`features`: what this runtime can do, in the form of the runtime-spec (features.md)."""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.linux import capabilities, namespaces
from nbcontainers.runtime.options import KNOWN


def features() -> dict[str, Any]:
    """The features object."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.3.0",
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": sorted(KNOWN),
        "linux": {
            "namespaces": sorted(namespaces.FLAGS),
            "capabilities": list(capabilities.NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
            "seccomp": {"enabled": True, "archs": [f"SCMP_ARCH_{os.uname().machine.upper()}"]},
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": False}},
        },
    }
