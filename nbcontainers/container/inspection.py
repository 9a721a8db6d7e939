"""`inspect`: everything known of a container in one document, under the names Docker's has for it.

What Docker does not know of is beside it in lower case: `limits` in force, `usage`, `addresses`, `published`, `bundle`,
`record` (container.json) and `config` (the OCI configuration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbcontainers.container import endpoints, health, listing, selection, store, usage
from nbcontainers.container.container import RUNNING, Container
from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound

Document = dict[str, Any]
_NEVER = "0001-01-01T00:00:00Z"
_NANOSECONDS = 10**9
_CHECK = {"Start": "start", "End": "end", "ExitCode": "exit_code", "Output": "output"}
_CHECK_TIMES = {
    "Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period", "StartInterval": "start_interval",
}  # fmt: skip


def inspect_all(engine: Engine, containers: Sequence[str | Container], *, latest: bool, size: bool) -> list[Document]:
    """`inspect` of each. Docker's takes images as well, so the hint for the name of one says what shows it."""
    try:
        handles = selection.chosen(engine, containers, {"latest": latest})
        return [inspect(handle, size=size) for handle in handles]
    except NotFound as error:
        from nbcontainers.image.store import names

        name = str(error.details.get("reference", "")).removesuffix(":latest")
        if name in names(engine):
            error.hint = f"there is an image of that name: image inspect {name}"
        raise


def inspect(container: Container, *, size: bool = False) -> Document:
    """One document."""
    record = dict(container.record)
    folder = store.folder(container.engine, container.id)
    config = {} if container.kept else store.read(container.engine, container.id, "config.json")
    process, linux = config.get("process") or {}, config.get("linux") or {}
    seccomp = linux.pop("seccomp", None)
    words = list(record["command"])
    return {
        "Id": container.id,
        "Name": record["name"],
        "Created": record["created"],
        "Path": words[0] if words else "",
        "Args": words[1:],
        "State": _state(container),
        "RestartCount": usage.restarts(container),
        "Image": record.get("image_digest", ""),
        "ImageName": record["image"],
        "LogPath": f"{folder}/log",
        "Config": _config(record, process),
        "HostConfig": _host_config(record, linux, process),
        "Mounts": _mounts(record, config),
        "NetworkSettings": _network(container),
        **({"SizeRw": listing.written(container)} if size else {}),
        "limits": dict(container.limits),
        "usage": dict(container.usage),
        "addresses": endpoints.addresses(container),
        "published": [{"port": inner, "host": where} for inner, where in endpoints.published(container)],
        "seccomp": seccomp is not None,
        "bundle": folder,
        "record": record,
        "config": config,
    }


def _state(container: Container) -> Document:
    status, ended = container.status, container.ended
    found = {
        "Status": status,
        "Running": status in RUNNING,
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": bool(ended.get("oom_killed")),
        "Dead": status == "dead",
        "Pid": container.pid or 0,
        "ExitCode": ended.get("exit_code") or 0,
        "Error": str((ended.get("error") or {}).get("message", "")),
        "StartedAt": container.started_at or _NEVER,
        "FinishedAt": ended.get("finished_at") or _NEVER,
    }
    if well := health.document(container):
        found["Health"] = {
            "Status": well.get("status"), "FailingStreak": well.get("failing_streak", 0),
            "Log": [{name: one[key] for name, key in _CHECK.items()} for one in well.get("log", ())],
        }  # fmt: skip
    return found


def _config(record: Mapping[str, Any], process: Mapping[str, Any]) -> Document:
    user = process.get("user") or {}
    return {
        "Hostname": record.get("hostname", ""),
        "User": f"{user.get('uid', 0)}:{user.get('gid', 0)}",
        "Tty": bool(record.get("tty")),
        "OpenStdin": bool(record.get("interactive")),
        "Env": list(process.get("env") or ()),
        "Cmd": list(record["command"]),
        "Image": record["image"],
        "WorkingDir": process.get("cwd", ""),
        "Labels": dict(record["labels"]),
        "StopSignal": record.get("stop_signal"),
        "StopTimeout": record.get("stop_timeout"),
        **({"Healthcheck": _healthcheck(record["health"])} if record.get("health") else {}),
    }


def _healthcheck(check: Mapping[str, Any]) -> Document:
    """The image-spec's Healthcheck: times in nanoseconds."""
    times = {name: round(check[key] * _NANOSECONDS) for name, key in _CHECK_TIMES.items()}
    return {"Test": check["test"], **times, "Retries": check["retries"]}


def _host_config(record: Mapping[str, Any], linux: Mapping[str, Any], process: Mapping[str, Any]) -> Document:
    """What was asked for, so what the next start gets; `limits` is what the kernel has now."""
    asked = linux.get("resources") or {}
    memory, cpu, pids, block = (asked.get(key) or {} for key in ("memory", "cpu", "pids", "blockIO"))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    policy = record.get("restart") or {}
    return {
        "AutoRemove": bool(record.get("remove")),
        "NetworkMode": record.get("network", ""),
        "PortBindings": _bindings(record),
        "RestartPolicy": {"Name": policy.get("name", "no"), "MaximumRetryCount": policy.get("maximum", 0)},
        "LogConfig": _log_config(record.get("log") or {}),
        "Memory": memory.get("limit") or 0,
        "MemorySwap": memory.get("swap") or 0,
        "MemoryReservation": memory.get("reservation") or 0,
        "NanoCpus": quota * _NANOSECONDS // period if quota > 0 and period else 0,
        "CpuShares": cpu.get("shares") or 0,
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "BlkioWeight": block.get("weight") or 0,
        "PidsLimit": pids.get("limit") or 0,
        "OomScoreAdj": process.get("oomScoreAdj") or 0,
        "CgroupParent": str(linux.get("cgroupsPath", "")).rpartition("/")[0],
    }


def _log_config(log: Mapping[str, Any]) -> Document:
    sizes = {name.replace("_", "-"): str(log[name]) for name in ("max_size", "max_file") if name in log}
    return {"Type": log.get("driver", "json-file"), "Config": sizes}


def _bindings(record: Mapping[str, Any]) -> Document:
    """As asked for: a port of 0 was left to us."""
    found: Document = {}
    for port in record.get("ports") or ():
        first, last = port["first"], port["last"]
        bound = {"HostIp": port["host"], "HostPort": f"{first}-{last}" if first < last else str(first or "")}
        found.setdefault(f"{port['target']}/{port['protocol']}", []).append(bound)
    return found


def _mounts(record: Mapping[str, Any], config: Mapping[str, Any]) -> list[Document]:
    """What the user and the image asked for; the kernel's own file systems are in `config`."""
    if "mounts" in record:
        return [
            {
                "Type": one["type"], "Name": one["name"], "Source": one["source"], "Destination": one["destination"],
                "Driver": one["driver"], "Mode": ",".join(one["options"]), "RW": one["rw"],
                "Propagation": one["propagation"],
            }
            for one in record["mounts"]
        ]  # fmt: skip
    return [m for m in config.get("mounts", ()) if m.get("type") in ("bind", "tmpfs")]


def _network(container: Container) -> Document:
    wishes = {wish["network"]: wish for wish in container.record.get("networks") or ()}
    made = endpoints.state(container).get("networks") or {}
    networks = {name: _endpoint(wishes.get(name, {}), made.get(name, {})) for name in {**wishes, **made}}
    ports: Document = {}
    for inner, where in endpoints.published(container):
        host, _, number = where.rpartition(":")
        ports.setdefault(inner, []).append({"HostIp": host.strip("[]"), "HostPort": number})
    return {"Networks": networks, "Ports": ports, "IPAddress": container.ip or ""}


def _endpoint(wish: Mapping[str, Any], made: Mapping[str, Any]) -> Document:
    """On one network; of a container that does not run, without addresses."""
    addresses, gateways = made.get("addresses") or (), made.get("gateways") or ()
    return {
        "IPAddress": next((address for address in addresses if ":" not in address), ""),
        "GlobalIPv6Address": next((address for address in addresses if ":" in address), ""),
        "Gateway": next((address for address in gateways if ":" not in address), ""),
        "IPv6Gateway": next((address for address in gateways if ":" in address), ""),
        "MacAddress": made.get("mac", ""),
        "Aliases": list(wish.get("aliases") or ()),
    }
