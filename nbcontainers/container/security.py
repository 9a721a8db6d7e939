"""Privileges: --cap-add, --cap-drop, --security-opt and --privileged as capabilities, filter and masks."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from nbcontainers.container import defaults, parse, seccomp
from nbcontainers.container.host import Host
from nbcontainers.container.options import RunOptions, bad, texts, values
from nbcontainers.errors import HostNotCapable
from nbcontainers.linux import capabilities as caps


class Policy(NamedTuple):
    """What --security-opt says. `seccomp` is "" for our own profile, `unconfined`, or the path of one."""

    no_new_privileges: bool = True
    seccomp: str = ""
    unmask: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


def policy(options: RunOptions) -> Policy:
    found = (
        Policy(no_new_privileges=False, seccomp="unconfined", unmask=("ALL",))
        if options.get("privileged")
        else Policy()
    )
    for text in texts("security_opt", options.get("security_opt")):
        found = _with(found, text)
    return found


def _with(found: Policy, text: str) -> Policy:
    """One --security-opt; `key:value` is Docker's old form of `key=value`."""
    key, _, value = text.partition("=") if "=" in text else text.partition(":")
    if key == "no-new-privileges":
        if value not in ("", "true", "false"):
            raise bad("security_opt", f"{text!r} is neither true nor false; write no-new-privileges=false")
        return found._replace(no_new_privileges=value != "false")
    if key == "seccomp" and value:
        return found._replace(seccomp=value)
    if key == "unmask" and value:
        return found._replace(unmask=(*found.unmask, *value.split(":")))
    if key == "systempaths" and value == "unconfined":
        return found._replace(unmask=("ALL",))
    if key == "mask" and value:
        return found._replace(mask=(*found.mask, *value.split(":")))
    if (key, value) in (("apparmor", "unconfined"), ("label", "disable")):
        return found  # nothing else is done anyway
    if key in ("apparmor", "label"):
        raise bad("security_opt", f"{text!r}: AppArmor profiles and SELinux labels are not applied; leave {key} out")
    raise bad(
        "security_opt",
        f"{text!r} is unknown; write no-new-privileges=false, seccomp=unconfined, seccomp=FILE.json or unmask=ALL",
    )


def filter_profile(found: Policy, granted: tuple[str, ...], machine: str) -> dict[str, Any] | None:
    """The seccomp profile in OCI JSON; None for no filter. `machine` is uname(2)'s, as x86_64."""
    if found.seccomp in ("", "default", "builtin"):
        return _default_profile(granted, machine)
    return seccomp.chosen_profile(found.seccomp, granted, machine)


@cache
def _default_profile(granted: tuple[str, ...], machine: str) -> dict[str, Any]:
    return seccomp.default_profile(granted, machine)


def granted(options: RunOptions, host: Host) -> tuple[str, ...]:
    """The capabilities in their numbers' order: defaults, less --cap-drop, plus --cap-add; drop wins over add.

    Raises HostNotCapable for one we do not have ourselves: it could not be given.
    """
    added, dropped = (
        set(values(options, "cap_add", parse.capability)),
        set(values(options, "cap_drop", parse.capability)),
    )
    if not added and not dropped and not options.get("privileged"):
        return _available(defaults.CAPABILITIES, host)
    everything = options.get("privileged") or "ALL" in added
    wanted = set(_available(tuple(caps.NAMES), host) if everything else _available(defaults.CAPABILITIES, host))
    if "ALL" in dropped:
        wanted = set() if "ALL" not in added else wanted
    named = added - {"ALL"}
    wanted = (wanted | named) - (dropped - {"ALL"})
    for name in sorted(named):
        if not host.capabilities >> caps.NUMBERS[name] & 1:
            raise HostNotCapable(
                f"--cap-add {name[4:]}: we do not have this capability ourselves, so it cannot be given",
                hint="run the notebook server with it, or leave the option out", option="cap_add",
            )  # fmt: skip
    return tuple(name for name in caps.NAMES if name in wanted)


def _available(names: tuple[str, ...], host: Host) -> tuple[str, ...]:
    return tuple(name for name in names if host.capabilities >> caps.NUMBERS[name] & 1)


def sets(options: RunOptions, uid: int, granted: tuple[str, ...]) -> dict[str, list[str]]:
    """The five sets: capabilities(7). Root gets all that is granted; others only what was asked for by name.

    The inheritable set of root stays empty (CVE-2022-24769); a user keeps --cap-add as ambient, as with Podman.
    """
    if uid == 0:
        everything = list(granted)
        return {"bounding": everything, "effective": everything, "permitted": everything}
    named = [name for name in values(options, "cap_add", parse.capability) if name in granted]
    kept = named if not options.get("privileged") else []
    return {"bounding": list(granted), "effective": kept, "permitted": kept, "inheritable": kept, "ambient": kept}


def masks(options: RunOptions, found: Policy, host: Host) -> tuple[list[str], list[str]]:
    """(maskedPaths, readonlyPaths): an empty list where everything is to be seen."""
    if "ALL" in found.unmask:
        return list(found.mask), []
    masked = [*defaults.MASKED_PATHS, *host.thermal_throttle, *found.mask]
    return [p for p in masked if p not in found.unmask], [p for p in defaults.READONLY_PATHS if p not in found.unmask]
