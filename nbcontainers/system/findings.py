"""What the facts that `system doctor` gathered mean for containers: one row a check. Only words are made here.

`facts` is what `trial.everything` and `diagnosis.gather` found: rootless, refusal (message and hint, both "" where there
is none), release, status (fields of /proc/self/status), outside (whether our namespaces are the first ones), place,
hard_limits, switches, ranges, helpers, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nbcontainers.linux import capabilities
from nbcontainers.system.places import PLACES
from nbcontainers.table import Row, amount, stored

Facts = Mapping[str, Any]

OK, LIMITED, MISSING = "ok", "limited", "missing"
_NEEDED_KERNEL = (5, 12)
_SEE = "see user namespaces"
_ROOM, _LITTLE_ROOM = 1_000_000_000, 20_000_000
_INODES = 50_000
_MODES = {"0": "no filter", "1": "strict", "2": "a filter"}
_HELPERS = ("newuidmap", "newgidmap")
_NEEDED = {
    "CAP_SYS_ADMIN": "namespaces and mounts",
    "CAP_NET_ADMIN": "networks",
    "CAP_MKNOD": "device nodes",
    "CAP_SETUID": "users",
    "CAP_SETGID": "groups",
    "CAP_SETPCAP": "dropping capabilities",
    "CAP_CHOWN": "owners of files in images",
    "CAP_DAC_OVERRIDE": "files of other users",
    "CAP_FOWNER": "modes of files in images",
    "CAP_KILL": "stopping containers",
}
_ESSENTIAL = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""Of these: without them not even the simplest container runs."""


class Finding(NamedTuple):
    """One row: `looked_at`, what was `found`, its state, what that `means` for containers, and what `mends` it."""

    check: str
    looked_at: str
    found: str
    state: str = OK
    means: str = ""
    mends: str = ""

    @property
    def row(self) -> Row:
        return self._asdict()

    @property
    def is_a_cause(self) -> bool:
        """Whether no container works because of this, rather than of what another check found."""
        return self.state == MISSING and self.mends != _SEE


def every(facts: Facts) -> list[Finding]:
    return [check(facts) for check in CHECKS]


def kernel(facts: Facts) -> Finding:
    version = tuple(map(int, re.findall(r"[0-9]+", facts["release"])[:2]))
    if version >= _NEEDED_KERNEL:
        return Finding("kernel", "uname -r", f"Linux {facts['release']}")
    return Finding("kernel", "uname -r", f"Linux {facts['release']}; 5.12 or newer is needed (mount_setattr)", MISSING,
                   "no container can be made", "cannot work here until a newer kernel is booted")  # fmt: skip


def container(facts: Facts) -> Finding:
    """Being in one is no fault; what it lacks, the others tell."""
    name = facts["place"]
    if facts["outside"]:
        found = "no: these are the machine's first namespaces"
    else:
        found = f"yes: {PLACES[name].said}" if name else "yes: these are not the machine's first namespaces"
    return Finding("in a container ourselves", "/proc/self/ns, the environment", found)


def users(facts: Facts) -> Finding:
    looked = "unshare --user, in a process of the launcher; " + ", ".join(facts["switches"])
    said = ", ".join(f"{name.rpartition('.')[2]} = {value}" for name, value in facts["switches"].items() if value)
    if facts["refusal"]:
        means = (
            "an ordinary user's containers live in one: none can run" if facts["rootless"] else "no container can run"
        )
        return Finding("user namespaces", looked, "; ".join(filter(None, (facts["refusal"], said))), MISSING, means,
                       _elsewhere(facts) or _allowed(facts))  # fmt: skip
    refused = facts["trials"].get("user", "")
    if not facts["rootless"]:
        found = f"cannot be made ({refused}), and root needs none" if refused else "can be made; root needs none"
    else:
        found = "made, and mounting works in it"
    return Finding("user namespaces", looked, "; ".join(filter(None, (found, said))))


def _allowed(facts: Facts) -> str:
    """AppArmor alone can allow it to one program: apparmor.d(5), userns."""
    switch = "kernel.apparmor_restrict_unprivileged_userns"
    if facts["switches"].get(switch) != "1":
        return str(facts["hint"])
    lines = ("abi <abi/4.0>,", "include <tunables/global>",
             f"profile nbcontainers {facts['python']} flags=(unconfined) {{ userns, }}")  # fmt: skip
    file = "/etc/apparmor.d/nbcontainers"
    words = " ".join(f"'{line}'" for line in lines)
    return (
        f"printf '%s\\n' {words} | sudo tee {file} && sudo apparmor_parser -r {file}"
        f" (this Python alone), or sudo sysctl -w {switch}=0 (everybody)"
    )


def ids(facts: Facts) -> Finding:
    looked = "/etc/subuid, /etc/subgid, newuidmap, newgidmap, /proc/self/uid_map"
    if not facts["rootless"]:
        return Finding("users in a container", looked, "root has all ids")
    if facts["ids"] > 1 and not facts["refusal"]:
        return Finding("users in a container", looked, f"{facts['ids']} ids")
    login = facts["login"]
    missing = [name for name in _HELPERS if name not in facts["helpers"]]
    lacks = [f"no {name}" for name in missing] + [f"no range for {login} in {file}" for file in facts["without_range"]]
    if facts["refusal"] and not lacks:
        return Finding("users in a container", looked, "a range of ids, and the programs to use it")
    steps = ["sudo apt-get install uidmap"] if missing else []
    if facts["without_range"]:
        steps.append(f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {login}")
    steps.append("end this user's containers and notebooks, then type system prune (the next start asks anew)")
    return Finding("users in a container", looked, "; ".join(lacks) or "one id, though there are ranges", LIMITED,
                   "a container has one user, you: images with files of other users, and apt-get, may not work",
                   "; ".join(steps))  # fmt: skip


def kinds(facts: Facts) -> Finding:
    return _tried(facts, "other namespaces", "unshare of each kind: mount, network, pid, uts, ipc, cgroup, time", "namespaces",
                  "all kinds", MISSING, "no container can be made", "")  # fmt: skip


def kernel_mounts(facts: Facts) -> Finding:
    """The kernel refuses new ones where the outer /proc has masks: mount_too_revealing in fs/namespace.c."""
    trials = facts["trials"]
    looked = "mount -t proc and -t sysfs, in namespaces of their own"
    if "proc" not in trials:
        return _untried("/proc and /sys", looked)
    refused = trials["proc"] or trials["sysfs"]
    if not refused:
        return Finding("/proc and /sys", looked, "new ones can be mounted")
    unmask = "start the outer container with --security-opt unmask=ALL (Podman) or systempaths=unconfined (Docker), " \
             "a pod with procMount: Unmasked"  # fmt: skip
    return Finding("/proc and /sys", looked, refused, MISSING, "a container cannot have its own /proc or /sys",
                   unmask if facts["rootless"] else _elsewhere(facts) or unmask)  # fmt: skip


def seccomp(facts: Facts) -> Finding:
    mode = _MODES.get(facts["status"].get("Seccomp", "").strip(), "unknown")
    looked = "Seccomp of /proc/self/status; calls that do nothing unless they are filtered"
    stopped = facts["filtered"]
    if not stopped:
        return Finding(
            "seccomp", looked, mode if mode == _MODES["0"] else f"{mode}; it stops none of the calls we need"
        )
    return Finding("seccomp", looked, f"{mode}; {', '.join(stopped)} refused", MISSING, "no container can be made",
                   _elsewhere(facts) or "start the outer container with --security-opt seccomp=unconfined")  # fmt: skip


def privileges(facts: Facts) -> Finding:
    looked = "CapEff of /proc/self/status"
    held = int(facts["status"].get("CapEff", "0"), 16)
    lacking = [name for name in _NEEDED if not held >> capabilities.NUMBERS[name] & 1]
    if facts["rootless"]:
        return Finding("capabilities", looked, "an ordinary user needs none: his user namespace has them all")
    if not lacking:
        return Finding("capabilities", looked, "root has all that containers need")
    vital = [name for name in lacking if name in _ESSENTIAL]
    means = "no container can be made" if vital else f"containers lack {', '.join(_NEEDED[name] for name in lacking)}"
    options = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in lacking)
    return Finding("capabilities", looked, f"root without {', '.join(lacking)}", MISSING if vital else LIMITED, means,
                   _elsewhere(facts) or f"start the outer container with --privileged, or {options}")  # fmt: skip


def hard_limits(facts: Facts) -> Finding:
    looked = "CAP_SYS_RESOURCE, getrlimit(2)"
    if facts["raises_limits"]:
        return Finding("hard limits", looked, "root may raise them")
    files = facts["open_files"]
    said = f"no CAP_SYS_RESOURCE; ours are the highest (open files: {'unlimited' if files < 0 else files})"
    mends = "start the notebook server with higher ones: ulimit -Hn 1048576, as root" if facts["rootless"] else \
            "start the outer container or virtual machine with CAP_SYS_RESOURCE (docker run --cap-add SYS_RESOURCE)"  # fmt: skip
    return Finding("hard limits", looked, said, LIMITED,
                   "--ulimit goes no higher, and --oom-score-adj no lower, than what this process has", mends)  # fmt: skip


def cgroups(facts: Facts) -> Finding:
    cgroup = facts["cgroups"]
    looked = "/proc/self/mountinfo, /proc/self/cgroup, who may write there"
    version = {"none": "not mounted", "hybrid": "v1 and v2 at once"}.get(cgroup["version"], cgroup["version"])
    if cgroup["kind"] != "null":
        return Finding("cgroups", looked, f"{version}; ours to write ({cgroup['kind']})")
    return Finding("cgroups", looked, f"{version}; none is ours to write", LIMITED,
                   "limits are errors, pause too, and figures that only a cgroup has are missing", cgroup["hint"])  # fmt: skip


def controllers(facts: Facts) -> Finding:
    cgroup = facts["cgroups"]
    looked = "the controllers of that cgroup"
    missing = cgroup["missing"]
    have = ", ".join(cgroup["controllers"])
    if not missing:
        return Finding("controllers", looked, have)
    found = f"{have or 'none'}; not {', '.join(missing)}"
    return Finding("controllers", looked, found, LIMITED, f"a limit by {', '.join(missing)} is an error",
                   "; ".join(dict.fromkeys(missing.values())))  # fmt: skip


def pressure(facts: Facts) -> Finding:
    refused = facts["pressure"]
    if not refused:
        return Finding("pressure (PSI)", "/proc/pressure", "measured")
    return Finding("pressure (PSI)", "/proc/pressure", f"not measured: {refused}", LIMITED,
                   "how long containers wait for processor, memory and disk is not shown",
                   "boot with psi=1, of a kernel with CONFIG_PSI")  # fmt: skip


def overlay(facts: Facts) -> Finding:
    kind = facts["room"]["type"] or "unknown file system"
    means = "images cannot be stacked: no container of an image can be made"
    mends = "export NBCONTAINERS_ROOT=FOLDER, one of ext4, xfs, btrfs or tmpfs (as /dev/shm) that is no overlay itself"
    looked = f"mount -t overlay in {facts['root']}, a file written and one removed"
    return _tried(facts, "overlayfs", looked, "overlay", f"works on {kind}", MISSING, means, mends, also=f" on {kind}")


def room(facts: Facts) -> Finding:
    free, inodes = facts["room"]["bytes"], facts["room"]["inodes"]
    few = inodes is not None and inodes < _INODES
    said = f"{amount(free, stored)} free" + (f", {inodes} files" if few else "")
    looked = f"statvfs of {facts['root']}"
    if free >= _ROOM and not few:
        return Finding("disk room", looked, said)
    state = MISSING if free < _LITTLE_ROOM else LIMITED
    return Finding("disk room", looked, said, state, "images and builds may not fit",
                   "type system prune, image prune -a, or export NBCONTAINERS_ROOT=FOLDER of another disk")  # fmt: skip


def links(facts: Facts) -> Finding:
    return _tried(facts, "bridges and cables", "ip link add type bridge, type veth, over netlink in a namespace of its own",
                  "links", "can be made", LIMITED, _NO_NETWORK, "sudo modprobe -a bridge veth")  # fmt: skip


def rules(facts: Facts) -> Finding:
    return _tried(facts, "nftables", "our table of rules, over netlink in a namespace of its own", "rules", "takes our rules",
                  LIMITED, _NO_NETWORK, "sudo modprobe -a nf_tables nft_chain_nat nft_masq nft_fib_inet nft_ct")  # fmt: skip


_NO_NETWORK = "no container can be on a network; --network none and host work"


def firewalls(facts: Facts) -> Finding:
    """Only root's bridges are on the host, behind its firewalls; a user's are in a namespace of his own."""
    looked = "net.ipv4.ip_forward; nftables' and iptables-legacy's chains on the hook forward"
    if facts["rootless"]:
        return Finding("forwarding", looked, "an ordinary user's networks do not pass the host's rules")
    forwarding = facts["forwarding"]
    told = facts["firewalls"]
    if told["refused"]:
        return Finding("forwarding", looked, told["refused"], LIMITED,
                       "whether others drop what containers send is not known", "see nftables")  # fmt: skip
    if told["notes"]:
        said, mends = zip(*(note.split("; to let them pass, type: ") for note in told["notes"]), strict=True)
        return Finding("forwarding", looked, "; ".join(said), LIMITED, "containers on a network do not reach the outside",
                       "; ".join(mends))  # fmt: skip
    if forwarding["on"] is None or not (forwarding["on"] or forwarding["writable"]):
        return Finding("forwarding", looked, "net.ipv4.ip_forward is off, and not ours to write", LIMITED,
                       "no container can be on a network that leads outside", "sudo sysctl -w net.ipv4.ip_forward=1")  # fmt: skip
    return Finding("forwarding", looked, "nobody drops what containers send"
                   + ("" if forwarding["on"] else "; the first network sets net.ipv4.ip_forward = 1"))  # fmt: skip


def tun(facts: Facts) -> Finding:
    looked = "/dev/net/tun, opened"
    if not facts["rootless"]:
        return Finding("/dev/net/tun", looked, "root's networks need none")
    if not facts["tun"]:
        return Finding("/dev/net/tun", looked, "can be opened")
    mends = "start the outer container with --device /dev/net/tun" if not facts["outside"] else \
            "sudo sh -c 'modprobe tun; chmod 666 /dev/net/tun'"  # fmt: skip
    return Finding("/dev/net/tun", looked, facts["tun"], LIMITED, _NOT_OUTSIDE, mends)


def leaders(facts: Facts) -> Finding:
    looked = "pasta and slirp4netns on the PATH"
    if not facts["rootless"]:
        return Finding("way outside", looked, "root's networks lead outside by themselves")
    if facts["leaders"]:
        return Finding("way outside", looked, f"by {facts['leaders'][0]}")
    if facts["programs"]:
        return Finding("way outside", looked, f"{facts['programs'][0]}, which needs /dev/net/tun", LIMITED, _NOT_OUTSIDE,
                       "see /dev/net/tun")  # fmt: skip
    return Finding("way outside", looked, "neither is there", LIMITED, _NOT_OUTSIDE, "sudo apt-get install passt")


_NOT_OUTSIDE = "containers on a network reach each other, not the outside"

CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    kernel, container, users, ids, kinds, kernel_mounts, seccomp, privileges, hard_limits, cgroups, controllers, pressure,
    overlay, room, links, rules, firewalls, tun, leaders,
)  # fmt: skip


def _tried(
    facts: Facts, check: str, looked: str, trial: str, fine: str, state: str, means: str, mends: str, also: str = ""
) -> Finding:
    """Of one trial. What lies around us decides before what would mend it on a machine of one's own."""
    if trial not in facts["trials"]:
        return _untried(check, looked)
    refused = facts["trials"][trial]
    if not refused:
        return Finding(check, looked, fine)
    hopeless = "cannot work here: what separates this process from the kernel forbids it; run on a machine of your own"
    return Finding(check, looked, f"{refused}{also}", state, means, _elsewhere(facts) or mends or hopeless)


def _untried(check: str, looked: str) -> Finding:
    return Finding(check, looked, "not tried: it needs a user namespace", MISSING, "", _SEE)


def _elsewhere(facts: Facts) -> str:
    """What is to be done where the limits are those of the container we are in; "" on a machine of one's own."""
    return PLACES[facts["place"]].mends if facts["place"] and not facts["outside"] else ""
