"""Where a notebook may run that is itself in a container, how each is known, and whether containers can work there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """`variables` of the environment or `files` of which one is there."""

    said: str
    mends: str
    variables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


_OWN = "run the notebook on a machine of your own, or a virtual machine"
_ADMIN = "only its administrator can change that"

PLACES = {
    "colab": Place("Google Colab", f"cannot work here: Colab lets nobody make containers; {_OWN}",
                   ("COLAB_RELEASE_TAG", "COLAB_GPU")),
    "kaggle": Place("Kaggle", f"cannot work here: Kaggle lets nobody make containers; {_OWN}", ("KAGGLE_KERNEL_RUN_TYPE",)),
    "binder": Place("Binder", f"cannot work here: Binder lets nobody make containers; {_OWN}",
                    ("BINDER_SERVICE_HOST", "BINDER_LAUNCH_HOST", "BINDER_REPO_URL")),
    "codespaces": Place("GitHub Codespaces", 'put "runArgs": ["--privileged"] into .devcontainer/devcontainer.json, and rebuild',
                        ("CODESPACES",)),
    "kubernetes": Place("a pod of Kubernetes", "cannot work in this pod: it needs securityContext: {privileged: true}; "
                        + _ADMIN, ("KUBERNETES_SERVICE_HOST",)),
    "podman": Place("Podman", "cannot work in this container: start it with podman run --privileged", (),
                    ("/run/.containerenv",)),
    "docker": Place("Docker", "cannot work in this container: start it with docker run --privileged --cgroupns=private",
                    (), ("/.dockerenv",)),
}  # fmt: skip
"""The first that fits is meant: a pod is Docker's too."""


def find(variables: Mapping[str, str]) -> str:
    """The key of the place that the environment and the root directory tell of; "" where they do not."""
    for name, place in PLACES.items():
        if any(variable in variables for variable in place.variables) or any(map(os.path.exists, place.files)):
            return name
    return ""
