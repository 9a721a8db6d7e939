"""Options to an OCI configuration: pure, and by the runtime-spec's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import defaults, mounts, spec, users
from nbcontainers.container.host import Host, Node
from nbcontainers.container.options import RunOptions, check_names
from nbcontainers.errors import Error, HostNotCapable, InvalidArgument, NotFound
from nbcontainers.linux import capabilities
from tests import runtime_spec

ID = "0123456789abcdef" * 4
IMAGE = {
    "Env": ["PATH=/bin", "A=image", "B=image"],
    "Entrypoint": ["/entry"],
    "Cmd": ["cmd", "word"],
    "WorkingDir": "/work",
    "Labels": {"from": "image", "both": "image"},
    "StopSignal": "SIGINT",
}


class FakeHost(Host):
    """Two processors, no swap, all capabilities, 20000 files, and a few devices."""

    capabilities = (1 << 41) - 1
    machine = "x86_64"
    processors = 2
    swap = False
    open_files = 20000
    raises_limits = False
    one_id = False
    limits_processes = True
    thermal_throttle: list[str] = []
    init = "/usr/bin/catatonit"
    nodes = {"/dev/fuse": Node("c", 10, 229, 0o666, 0, 0), "/dev/sda": Node("b", 8, 0, 0o660, 0, 6)}

    def __init__(self, **facts: Any) -> None:
        super().__init__(rootless=facts.pop("rootless", False))
        for name, fact in facts.items():
            setattr(self, name, fact)

    def hard_limit(self, name: str) -> int:
        return 20000 if name == "RLIMIT_NOFILE" else -1

    def exists(self, path: str) -> bool:
        return not path.startswith("/missing")

    def node(self, path: str) -> Node | None:
        return self.nodes.get(path)

    def devices(self) -> list[str]:
        return sorted(self.nodes)


def build(command=(), *, image=IMAGE, identity=None, host=None, **options) -> Any:
    check_names(options)
    given: RunOptions = options  # type: ignore[assignment]
    host = host or FakeHost()
    asked = mounts.asked(given, image.get("Volumes") or (), "/volumes", ID, host, cwd="/here")
    basis = spec.Basis(
        ID, image, identity or users.Identity(0, 0, (), "/root", "root"), host, asked, {"/etc/hosts": "/c/hosts"}
    )
    return spec.build(given, list(command), basis)


def mount(config, destination):
    found = [m for m in config["mounts"] if m["destination"] == destination]
    assert len(found) == 1, found
    return found[0]


# -- the form ----------------------------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "env": {"X": "1"}, "workdir": "/w", "user": "1000", "hostname": "h", "label": ["k=v"], "init": True, "tty": True,
    "volume": ["/host:/a:ro", "named:/b", "/anonymous"], "mount": ["type=tmpfs,target=/t,tmpfs-size=1m"],
    "tmpfs": ["/t2:size=64k,exec"], "read_only": True, "shm_size": "1m", "device": ["/dev/fuse:/dev/f:rw"], "memory": "64m",
    "memory_swap": "128m", "memory_reservation": "32m", "cpus": 0.5, "cpu_shares": 512, "cpuset_cpus": "0-1",
    "cpuset_mems": "0", "pids_limit": 20, "device_read_bps": ["/dev/sda:1m"], "device_write_bps": ["/dev/sda:2m"],
    "device_read_iops": ["/dev/sda:3"], "device_write_iops": ["/dev/sda:4"], "ulimit": ["nofile=10:20", "core=-1"],
    "cap_add": ["NET_RAW"], "cap_drop": ["KILL"], "security_opt": ["no-new-privileges=false"],
    "sysctl": {"net.core.somaxconn": "8"},
}  # fmt: skip


@pytest.mark.parametrize(
    "options", [{}, EVERYTHING, {"privileged": True}, {"network": "host", "pid": "host", "ipc": "host", "uts": "host"}]
)
def test_every_configuration_has_the_form_of_the_specification(options):
    runtime_spec.check(build(**options))


def test_building_is_pure():
    assert build(**EVERYTHING) == build(**EVERYTHING)


# -- process -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "command", "image", "words"),
    [
        ({}, [], {}, None),
        ({}, ["sh"], {}, ["sh"]),
        ({}, [], {"Cmd": ["c"]}, ["c"]),
        ({}, [], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["e", "c"]),
        ({}, ["x", "y"], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["e", "x", "y"]),
        ({"entrypoint": "n"}, [], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["n"]),
        ({"entrypoint": "n"}, ["x"], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["n", "x"]),
        ({"entrypoint": ["n", "-v"]}, ["x"], {}, ["n", "-v", "x"]),
        ({"entrypoint": ""}, ["x"], {"Entrypoint": ["e"]}, ["x"]),
        ({"entrypoint": [""]}, ["x"], {"Entrypoint": ["e"]}, ["x"]),
        ({"entrypoint": ""}, [], {"Entrypoint": ["e"], "Cmd": ["c"]}, None),
    ],
)
def test_entrypoint_and_command(options, command, image, words):
    if words is None:
        with pytest.raises(InvalidArgument, match="there is no command") as caught:
            build(command, image=image, **options)
        assert "type one after the image" in caught.value.hint
    else:
        assert build(command, image=image, **options)["process"]["args"] == words


def test_environment_comes_in_dockers_order(tmp_path):
    (tmp_path / "env").write_text("B=file\nC=file\n")
    config = build(["x"], env_file=[str(tmp_path / "env")], env=["C=option", "D="], tty=True)
    environment = dict(entry.split("=", 1) for entry in config["process"]["env"])
    assert environment == {
        "PATH": "/bin", "HOSTNAME": ID[:12], "TERM": "xterm", "A": "image", "B": "file", "C": "option", "D": "",
        "HOME": "/root",
    }  # fmt: skip
    assert "HOME=/elsewhere" in build(["x"], env={"HOME": "/elsewhere"})["process"]["env"]
    assert f"PATH={defaults.PATH}" in build(["x"], image={})["process"]["env"]


def test_init_is_bound_and_runs_first():
    config = build(["a"], image={}, init=True)
    assert config["process"]["args"] == ["/dev/init", "--", "a"]
    assert mount(config, "/dev/init")["source"] == "/usr/bin/catatonit"
    with pytest.raises(HostNotCapable, match="--init") as caught:
        build(["a"], init=True, host=FakeHost(init=None))
    assert "apt install catatonit" in caught.value.hint


def test_names_and_places():
    config = build()
    assert config["hostname"] == ID[:12]
    assert config["process"]["cwd"] == "/work"
    assert config["annotations"] == {"from": "image", "both": "image"}
    config = build(hostname="web", workdir="/x/../y", label=["both=ours", "flag"])
    assert (config["hostname"], config["process"]["cwd"]) == ("web", "/y")
    assert config["annotations"] == {"from": "image", "both": "ours", "flag": ""}
    assert spec.stop_signal({}, IMAGE) == 2
    assert spec.stop_signal({"stop_signal": "KILL"}, IMAGE) == 9
    assert spec.stop_signal({}, {"StopSignal": "nonsense"}) == 15


# -- privileges --------------------------------------------------------------------------------------------------------


def test_root_has_podmans_eleven_and_nothing_is_inherited():
    sets = build()["process"]["capabilities"]
    assert sets["bounding"] == sets["effective"] == sets["permitted"]
    assert set(sets["bounding"]) == set(defaults.CAPABILITIES)
    assert len(sets["bounding"]) == 11
    assert not sets.get("inheritable")
    assert not sets.get("ambient")
    assert build()["process"]["noNewPrivileges"] is True


def test_a_user_has_none_but_those_added_by_name():
    alice = users.Identity(1000, 1000, (50,), "/home/alice", "alice")
    sets = build(identity=alice)["process"]["capabilities"]
    assert len(sets["bounding"]) == 11
    assert not any(sets[name] for name in ("effective", "permitted", "inheritable", "ambient"))
    sets = build(identity=alice, cap_add=["NET_RAW"])["process"]["capabilities"]
    assert sets["ambient"] == sets["effective"] == ["CAP_NET_RAW"]
    assert build(identity=alice)["process"]["user"] == {
        "uid": 1000,
        "gid": 1000,
        "umask": 18,
        "additionalGids": [1000, 50],
    }


@pytest.mark.parametrize(
    ("add", "drop", "count", "has", "lacks"),
    [
        (["NET_RAW"], [], 12, "NET_RAW", "SYS_ADMIN"),
        (["ALL"], [], 41, "SYS_ADMIN", ""),
        (["ALL"], ["SYS_ADMIN"], 40, "NET_RAW", "SYS_ADMIN"),
        ([], ["ALL"], 0, "", "CHOWN"),
        (["CHOWN"], ["ALL"], 1, "CHOWN", "KILL"),
        ([], ["KILL", "cap_chown"], 9, "FOWNER", "KILL"),
        (["KILL"], ["KILL"], 10, "CHOWN", "KILL"),
    ],
)
def test_adding_and_dropping(add, drop, count, has, lacks):
    names = build(cap_add=add, cap_drop=drop)["process"]["capabilities"]["bounding"]
    assert len(names) == count
    assert not has or f"CAP_{has}" in names
    assert not lacks or f"CAP_{lacks}" not in names


def test_what_we_do_not_have_cannot_be_given():
    poor = FakeHost(capabilities=(1 << 41) - 1 - (1 << capabilities.NUMBERS["CAP_SYS_RESOURCE"]))
    with pytest.raises(HostNotCapable, match="--cap-add SYS_RESOURCE: we do not have this capability ourselves"):
        build(cap_add=["SYS_RESOURCE"], host=poor)
    assert "CAP_SYS_RESOURCE" not in build(cap_add=["ALL"], host=poor)["process"]["capabilities"]["bounding"]
    assert "CAP_SYS_RESOURCE" not in build(privileged=True, host=poor)["process"]["capabilities"]["bounding"]


def test_masks_are_the_union_of_both_engines():
    linux = build()["linux"]
    assert {"/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/interrupts"} <= set(linux["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} == set(linux["readonlyPaths"])
    assert "/proc/kcore" not in build(security_opt=["unmask=/proc/kcore"])["linux"]["maskedPaths"]
    open_all = build(security_opt=["unmask=ALL"])["linux"]
    assert (open_all["maskedPaths"], open_all["readonlyPaths"]) == ([], [])


def test_security_options():
    assert build(security_opt=["no-new-privileges=false"])["process"]["noNewPrivileges"] is False
    assert build(security_opt=["no-new-privileges"])["process"]["noNewPrivileges"] is True
    assert build()["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp" not in build(security_opt=["seccomp=unconfined"])["linux"]
    for text in ("apparmor=docker-default", "label=type:x", "nonsense", "seccomp="):
        with pytest.raises(InvalidArgument, match="--security-opt"):
            build(security_opt=[text])


def test_privileged_is_bounded_by_what_we_have():
    config = build(privileged=True)
    assert "seccomp" not in config["linux"]
    assert config["linux"]["maskedPaths"] == []
    assert config["process"]["noNewPrivileges"] is False
    assert "ro" not in mount(config, "/sys")["options"]
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert [device["path"] for device in config["linux"]["devices"]] == ["/dev/fuse", "/dev/sda"]


# -- namespaces --------------------------------------------------------------------------------------------------------


def test_all_namespaces_are_the_containers_own():
    assert {n["type"] for n in build()["linux"]["namespaces"]} == set(defaults.NAMESPACES)


def test_sharing_the_hosts():
    config = build(network="host", pid="host", ipc="host", uts="host")
    assert {n["type"] for n in config["linux"]["namespaces"]} == {"mount", "cgroup", "time"}
    assert "hostname" not in config
    assert mount(config, "/dev/shm")["type"] == "bind"
    assert config["linux"]["sysctl"] == {}
    with pytest.raises(InvalidArgument, match="with --uts host the name is the host's"):
        build(uts="host", hostname="x")
    with pytest.raises(InvalidArgument, match="is no kind of network namespace") as caught:
        build(network="web")
    assert caught.value.hint == "write none or host"


def test_kernel_parameters():
    assert build(sysctl={"net.core.somaxconn": "8"})["linux"]["sysctl"]["net.core.somaxconn"] == "8"
    with pytest.raises(InvalidArgument, match="belongs to the whole host"):
        build(sysctl=["vm.swappiness=1"])
    with pytest.raises(InvalidArgument, match="is the host's with --network host"):
        build(sysctl=["net.core.somaxconn=1"], network="host")


# -- limits ------------------------------------------------------------------------------------------------------------


def test_limits():
    found = build(**EVERYTHING)["linux"]["resources"]
    assert found["memory"] == {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20}
    assert found["cpu"] == {"period": 100000, "quota": 50000, "shares": 512, "cpus": "0-1", "mems": "0"}
    assert found["pids"] == {"limit": 20}
    assert found["blockIO"]["throttleReadBpsDevice"] == [{"major": 8, "minor": 0, "rate": 1 << 20}]
    assert found["blockIO"]["throttleWriteIOPSDevice"] == [{"major": 8, "minor": 0, "rate": 4}]
    assert build()["linux"]["resources"]["pids"] == {"limit": 2048}
    assert build(pids_limit=-1)["linux"]["resources"]["pids"] == {"limit": -1}


def test_swap_is_limited_only_where_there_is_any():
    assert build(memory="64m")["linux"]["resources"]["memory"] == {"limit": 64 << 20}
    assert build(memory="64m", host=FakeHost(swap=True))["linux"]["resources"]["memory"]["swap"] == 128 << 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "1m"}, "--memory: 1m is below what can work"),
        ({"memory": "lots"}, "--memory: 'lots' is no size"),
        ({"memory_swap": "64m"}, "--memory-swap: it needs a memory limit too"),
        ({"memory": "64m", "memory_swap": "32m"}, "is below the memory limit"),
        ({"memory": "64m", "memory_reservation": "65m"}, "--memory-reservation"),
        ({"cpus": "3"}, "--cpus: this host has 2 processors"),
        ({"cpus": "0.001"}, "--cpus: 0.001 is below what can work"),
        ({"cpuset_cpus": "0-7"}, "this host's processors are 0 to 1"),
        ({"device_read_bps": ["/dev/fuse:1m"]}, "/dev/fuse is no block device"),
        ({"device": ["/dev/nothing"]}, "/dev/nothing is no device"),
        ({"device": ["/missing"]}, "/missing does not exist on this host"),
        ({"shm_size": "0"}, "--shm-size"),
        ({"pids_limit": -5}, "--pids-limit"),
        ({"cpu_shares": 1}, "--cpu-shares"),
        ({"env": ["=x"]}, "--env"),
        ({"label": ["=x"]}, "--label"),
        ({"workdir": "relative"}, "--workdir: 'relative' is no absolute path"),
    ],
)
def test_what_cannot_work_names_the_option_and_says_what_to_write(options, message):
    with pytest.raises(InvalidArgument) as caught:
        build(**options)
    assert message in caught.value.message
    assert caught.value.hint


def test_rlimits_never_exceed_what_the_host_allows():
    limits = {limit["type"]: (limit["soft"], limit["hard"]) for limit in build()["process"]["rlimits"]}
    assert limits["RLIMIT_NOFILE"] == (20000, 20000)
    assert limits["RLIMIT_CORE"][0] == 0
    with pytest.raises(
        HostNotCapable, match="our own hard limit is 20000, and raising it needs CAP_SYS_RESOURCE"
    ) as caught:
        build(ulimit=["nofile=1048576"])
    assert "--ulimit nofile=20000" in caught.value.hint
    assert build(ulimit=["nofile=1048576"], host=FakeHost(raises_limits=True))
    files = next(
        limit for limit in build(ulimit=["nofile=5:6"])["process"]["rlimits"] if limit["type"] == "RLIMIT_NOFILE"
    )
    assert files == {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6}


def test_devices():
    config = build(device=["/dev/fuse:/dev/f:rw"])
    assert config["linux"]["devices"] == [
        {"path": "/dev/f", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}
    ]
    rules = config["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert rules[-1] == {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}


# -- mounts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "target", "source", "words"),
    [
        ({"volume": ["/host:/a"]}, "/a", "/host", {"rbind", "rprivate"}),
        ({"volume": ["/host:/a:ro"]}, "/a", "/host", {"rbind", "rprivate", "ro", "rro"}),
        ({"volume": ["/host:/a:ro,z,rslave,noexec"]}, "/a", "/host", {"rbind", "rslave", "ro", "rro", "noexec"}),
        ({"volume": ["./data:/a"]}, "/a", "/here/data", {"rbind", "rprivate"}),
        ({"volume": ["..:/a"]}, "/a", "/", {"rbind", "rprivate"}),
        ({"volume": ["named:/a"]}, "/a", "/volumes/named/_data", {"rbind", "rprivate"}),
        ({"volume": "one:/a"}, "/a", "/volumes/one/_data", {"rbind", "rprivate"}),
        ({"mount": ["type=bind,src=/host,dst=/a,ro"]}, "/a", "/host", {"rbind", "rprivate", "ro", "rro"}),
        ({"mount": ["type=bind,source=/host,target=/a,readonly=false,bind-propagation=rshared"]}, "/a", "/host",
         {"rbind", "rshared"}),
        ({"mount": ["type=bind,source=/host,target=/a,bind-nonrecursive=true"]}, "/a", "/host", {"bind", "rprivate"}),
        ({"mount": ["source=named,target=/a,volume-nocopy"]}, "/a", "/volumes/named/_data", {"rbind", "rprivate"}),
        ({"volume": ["/missing/made:/a"]}, "/a", "/missing/made", {"rbind", "rprivate"}),
        ({"volume": {"named": "/a:ro"}}, "/a", "/volumes/named/_data", {"rbind", "rprivate", "ro", "rro"}),
        ({"volume": {"/host": {"bind": "/a", "mode": "rw"}}}, "/a", "/host", {"rbind", "rprivate"}),
        ({"volume": {Path("data"): "/a"}}, "/a", "/here/data", {"rbind", "rprivate"}),
        ({"volume": {Path("/host"): "/a"}}, "/a", "/host", {"rbind", "rprivate"}),
        ({"mount": ["type=bind,src=/host,dst=/a,ro,bind-recursive=writable"]}, "/a", "/host", {"rbind", "rprivate", "ro"}),
        ({"mount": ["type=bind,src=/host,dst=/a,bind-recursive=disabled"]}, "/a", "/host", {"bind", "rprivate"}),
        ({"mount": ['type=bind,"src=/host,1",dst=/a']}, "/a", "/host,1", {"rbind", "rprivate"}),
        ({"mount": ["type=image,src=mini,dst=/a"]}, "/a", "", {"rbind", "rprivate", "ro", "rro"}),
        ({"mount": ["type=tmpfs,target=/a,tmpfs-size=1m,tmpfs-mode=700"]}, "/a", "tmpfs",
         {"nosuid", "nodev", "noexec", "size=1048576", "mode=700"}),
        ({"tmpfs": ["/a"]}, "/a", "tmpfs", {"nosuid", "nodev", "noexec"}),
        ({"tmpfs": ["/a:size=50%,exec,uid=5"]}, "/a", "tmpfs", {"nosuid", "nodev", "exec", "size=50%", "uid=5"}),
        ({"tmpfs": {"/a": "rw"}}, "/a", "tmpfs", {"nosuid", "nodev", "noexec", "rw"}),
    ],
)  # fmt: skip
def test_mounts(options, target, source, words):
    found = mount(build(**options), target)
    assert found["source"] == source
    assert set(found["options"]) == words


def test_a_tmpfs_has_no_source():
    with pytest.raises(InvalidArgument, match="a tmpfs has no source 'x'") as caught:
        build(mount=["type=tmpfs,source=x,target=/a"])
    assert "type=volume" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            {"mount": ["type=bind,source=/missing/data,target=/a"]},
            "the mount source /missing/data does not exist",
            "mkdir -p /missing/data first, -v /missing/data:/a to have it made, or -v data:/a",
        ),
        (
            {"mount": ["type=bind,source=/missing,target=/a"]},
            "the mount source /missing does not exist",
            "mkdir -p /missing",
        ),
        ({"volume": ["/a:/b:/c:/d"]}, "is no volume", "NAME:/folder"),
        ({"volume": [":/a"]}, "is no volume", "NAME:/folder"),
        ({"volume": ["named:relative"]}, "'relative' is no absolute path", "/relative"),
        ({"volume": ["a/b:/c"]}, "'a/b' is no volume name", "./a/b for a folder"),
        ({"volume": ["..named:/c"]}, "is no volume name", "letters"),
        ({"volume": ["x:/c"]}, "'x' is no volume name", "at least two letters"),
        ({"volume": ["named:/"]}, "the root file system is the image's", "a folder below /"),
        ({"volume": ["named:/proc/1"]}, "belongs to the kernel", "outside /proc"),
        ({"volume": ["named:/a:fast"]}, "'fast' is no option of a volume", "write ro, rw"),
        ({"volume": ["/usr:/a:U"]}, "belongs to the host", "leave U out"),
        ({"volume": ["xx:/a", "yy:/a"]}, "two mounts on /a", "a target of its own"),
        ({"volume": ["xx:/a"], "tmpfs": ["/a/"]}, "two mounts on /a", "a target of its own"),
        ({"mount": ["type=npipe,target=/a"]}, "type 'npipe' is unknown", "type=bind"),
        ({"mount": ["type=bind,source=/host"]}, "has no target", "target=/folder"),
        ({"mount": ["type=bind,target=/a"]}, "needs a source", "source=/host/folder"),
        ({"mount": ["type=bind,source=/host,target=/a,speed=9"]}, "bind has no key 'speed'", "bind-propagation"),
        ({"mount": ["type=bind,source=/host,target=/a,ro=maybe"]}, "neither true nor false", "readonly"),
        ({"mount": ["type=bind,source=/host,target=/a,dst=/b"]}, "target is given twice", "once"),
        ({"mount": ['type=bind,"source=/host,target=/a']}, "cannot be read: unexpected end of data", "for a comma"),
        (
            {"mount": ["type=bind,source=/host,target=/a,bind-recursive=readonly"]},
            "needs readonly",
            "readonly,bind-recursive",
        ),
        ({"mount": ["type=bind,source=/host,target=/a,bind-recursive=some"]}, "is unknown", "writable"),
        ({"mount": ["source=named,target=/a,volume-subpath=../b"]}, "leads out", "below"),
        ({"mount": ["source=named,target=/a,volume-driver=nfs"]}, "no volume driver 'nfs'", "leave"),
        ({"mount": ["type=image,target=/a"]}, "needs a source", "source=IMAGE"),
        ({"mount": ["type=image,source=mini,target=/a,readonly=false"]}, "mounted read-only", "leave readonly out"),
        ({"tmpfs": ["/a:fast"]}, "'fast' is no option of a tmpfs", "size=64m"),
    ],
)
def test_mounts_that_mean_nothing(options, message, hint):
    with pytest.raises(Error) as caught:
        build(**options)
    assert message in caught.value.message
    assert hint in caught.value.hint + caught.value.message
    assert isinstance(caught.value, (InvalidArgument, NotFound))


def test_every_form_of_v_as_texts():
    given = {"named": "/a:ro", Path("data"): "/b", "/host": {"bind": "/c", "mode": "ro"}}
    assert mounts.as_texts(given) == ["named:/a:ro", "./data:/b", "/host:/c:ro"]
    assert mounts.as_texts("named:/a") == ["named:/a"]
    assert mounts.as_texts(None) == []


def test_volumes_of_the_image_are_anonymous_unless_mounted_over():
    image = {**IMAGE, "Volumes": {"/data": {}, "/log/": {}}}
    config = build(image=image, volume=["mine:/data"])
    assert mount(config, "/data")["source"] == "/volumes/mine/_data"
    source = mount(config, "/log")["source"]
    assert source.startswith("/volumes/")
    assert len(source.split("/")[2]) == 64
    assert source == mount(build(image=image), "/log")["source"]


def test_parents_are_mounted_before_what_is_below():
    config = build(volume=["aa:/x/y/z", "bb:/x", "cc:/etc"])
    order = [m["destination"] for m in config["mounts"]]
    assert order.index("/x") < order.index("/x/y/z")
    assert order.index("/etc") < order.index("/etc/hosts")
    assert order.index("/dev") < order.index("/dev/pts")
    assert order.index("/sys") < order.index("/sys/fs/cgroup")


def test_a_mount_of_ones_own_replaces_the_default():
    config = build(tmpfs=["/dev/shm:size=1m"], volume=["/host:/etc/hosts"])
    assert "size=1048576" in mount(config, "/dev/shm")["options"]
    assert mount(config, "/etc/hosts")["source"] == "/host"


# -- an ordinary user --------------------------------------------------------------------------------------------------


def test_rootless():
    config = build(host=FakeHost(rootless=True, one_id=True, limits_processes=False), network="host")
    assert mount(config, "/sys")["type"] == "bind"
    assert "gid=5" not in mount(config, "/dev/pts")["options"]
    assert config["linux"]["resources"] == {}
    assert config["linux"]["sysctl"] == {}
    limited = build(host=FakeHost(rootless=True, limits_processes=False), memory="64m")
    assert limited["linux"]["resources"] == {"memory": {"limit": 64 << 20}}
    assert build(host=FakeHost(rootless=True))["linux"]["resources"] == {"pids": {"limit": 2048}}
    assert "gid=5" in mount(build(host=FakeHost(rootless=True)), "/dev/pts")["options"]


def test_an_unknown_option():
    with pytest.raises(InvalidArgument, match="run has no option 'memroy'") as caught:
        check_names({"memroy": "1g"})
    assert "memory" in caught.value.hint


# -- what Python callers can get wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["env", "env_file", "label", "volume", "mount", "tmpfs", "ulimit", "device", "sysctl",
                                  "cap_add", "security_opt", "entrypoint", "device_read_bps"])  # fmt: skip
@pytest.mark.parametrize("given", [b"text", object(), [b"text"], [None]])
def test_a_value_of_a_wrong_type_is_one_error_that_names_the_option(name: str, given: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        build(["true"], **{name: given})
    assert "attribute" not in caught.value.message
    assert "iterable" not in caught.value.message
    assert f"--{name.replace('_', '-')}" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("word", [5, None, b"true", ["sh", "-c", "true"]])
def test_a_command_is_made_of_texts(word: Any) -> None:
    with pytest.raises(InvalidArgument, match="not text") as caught:
        build([word])
    assert "run('mini', 'echo', 'hello')" in caught.value.hint
