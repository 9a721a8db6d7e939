"""What Docker's command line has and ours has not yet: so that a mistake is told from something that is missing."""

from __future__ import annotations

_RUN = {
    "--gpus": "GPUs are not there yet; --device gives a container a device of the host",
    "--link": "containers of one network find each other by name: --network NAME",
    "--runtime": "there is one runtime, our own; others run our bundles",
}  # fmt: skip
_LATER = frozenset(
    "--blkio-weight-device --cpu-rt-period --cpu-rt-runtime --disable-content-trust --isolation --kernel-memory "
    "--storage-opt --userns --volume-driver".split()
)


def missing(flag: str, verb: str) -> str:
    """What to say of Docker's `flag` that `verb` does not have; "" for what Docker has not either."""
    if verb in ("run", "create") and flag in _RUN:
        return _RUN[flag]
    return f"Docker has {flag}, which is not there yet" if flag in _LATER else ""
