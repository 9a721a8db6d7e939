"""What Docker's command line has and ours has not yet: so that a mistake is told from something that is missing."""

from __future__ import annotations

_RUN = {
    "--gpus": "GPUs are not there yet; --device gives a container a device of the host",
    "--link": "containers of one network find each other by name: --network NAME",
    "--runtime": "there is one runtime, our own; others run our bundles",
}  # fmt: skip
_ONE_STORE = "leave it out: every image that is built is in the store, and there is no other builder"
_GOES = "leave it out: the container of a RUN goes with it"
_LIMITS = "limits of a RUN are -m, --cpus and --shm-size"
_BUILD = {
    "--load": _ONE_STORE, "--builder": _ONE_STORE, "--rm": _GOES, "--force-rm": _GOES,
    "--push": "build with -t REGISTRY/NAME, then type image push REGISTRY/NAME",
    "--metadata-file": "--iidfile writes the image's id; image inspect has all of it",
    **dict.fromkeys(("--ulimit", "--memory-swap", "--cpu-shares", "--cpuset-cpus", "--cpu-quota"), _LIMITS),
    "--check": "every build shows the warnings of the checks; there is none that only checks",
    "--provenance": "attestations are not there", "--sbom": "attestations are not there",
    "--layers": "leave it out: results of steps are kept unless --no-cache says no",
    "--isolation": "every RUN has a container of its own",
}  # fmt: skip
_LATER = frozenset(
    "--blkio-weight-device --cpu-rt-period --cpu-rt-runtime --disable-content-trust --isolation --kernel-memory "
    "--storage-opt --userns --volume-driver".split()
)

_PRUNE = {"-a": "system prune --containers removes those that do not run, image prune -a the images that nobody uses"}
_PRUNE["--all"] = _PRUNE["-a"]
_SEVERAL = (
    "several containers are a script or a notebook: network create NAME, then container run -d --network NAME each"
)
_ONE_HOST = "containers run on this machine only; --restart starts them again"
COMMANDS = {
    "compose": _SEVERAL, "stack": _ONE_HOST, "swarm": _ONE_HOST, "service": _ONE_HOST, "node": _ONE_HOST,
    "search": "image tags NAME shows what a registry has of an image whose name is known",
    "buildx": "type image build; builder ls shows what it keeps", "context": "there is no daemon that could be elsewhere",
}  # fmt: skip
"""What to say of a command that Docker has and we have not."""


def missing(flag: str, verb: str) -> str:
    """What to say of Docker's `flag` that `verb` does not have; "" for what Docker has not either."""
    if verb in ("run", "create") and flag in _RUN:
        return _RUN[flag]
    if flag == "--limits":
        return "limits are options of their own, as -m 256m --cpus 0.5 --cpuset-cpus 1"
    if flag == "--format" and verb not in ("run", "create", "exec"):  # a command line has it everywhere
        return "a cell shows the whole; -o NAME keeps it, and of a table NAME.to_pandas() is a DataFrame"
    if verb == "build" and flag in _BUILD:
        return _BUILD[flag]
    if verb == "prune" and flag in _PRUNE:
        return _PRUNE[flag]
    return f"Docker has {flag}, which is not there yet" if flag in _LATER else ""
