"""What `mini` and `host` are put together from: ELF headers, the mask, the plan of mounts."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.image import elf, host, mask, mini
from nbcontainers.image.mini import Member
from nbcontainers.layer import lower
from nbcontainers.monitor.steps import Step


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root", tmp_path / "run", os.geteuid() != 0).prepare()


def test_elf_agrees_with_the_dynamic_linker() -> None:
    program = shutil.which("ls") or "/bin/ls"
    found = elf.read(os.path.realpath(program))
    if not found or not found.interpreter:
        pytest.skip("ls is a script or static here")
    listed = subprocess.run([found.interpreter, "--list", program], capture_output=True, text=True, check=True).stdout
    wanted = {os.path.realpath(word) for word in listed.split() if word.startswith("/")}
    assert {os.path.realpath(path) for path in elf.libraries([program])} == wanted


def test_elf_of_scripts_static_programs_and_damage(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert elf.read(str(script)) is None
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"\x7fELF\x02\x01\x01" + b"\xff" * 100)
    with pytest.raises(ValueError, match="damaged ELF"):
        elf.read(str(damaged))
    busybox = shutil.which("busybox")
    if busybox:
        assert list(elf.libraries([busybox])) == [] or elf.read(busybox)


def test_a_missing_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "_cached", dict)
    with pytest.raises(FileNotFoundError, match="no shared library libnone"):
        elf._find("libnone.so", elf.Object((2, 62), "", (), ()))


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    return {info.name: info for info in tarfile.open(fileobj=io.BytesIO(content)).getmembers()}


def test_layers_are_reproducible_sorted_and_root_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    tools, _ = mini._members()
    first, second = mini._tar(tools), mini._tar(tools[::-1])
    assert first == second
    infos = list(members(first).values())
    assert [info.name for info in infos] == sorted(info.name for info in infos)
    assert {(info.uid, info.gid, info.mtime, info.uname) for info in infos} == {(0, 0, 0, "")}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert {info.mtime for info in members(mini._tar(tools)).values()} == {1_700_000_000}


def test_the_skeleton() -> None:
    found = members(mini._tar(mini._skeleton()))
    assert found["tmp"].mode == 0o1777
    assert found["bin"].linkname == "usr/bin"
    assert found["etc/passwd"].mode == 0o644
    assert found["root"].mode == 0o700


def test_without_busybox_the_host_s_own_programs_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(
        mini.shutil, "which", lambda name, path=None: None if name == "busybox" else real(name, path=path)
    )
    tools, extras = mini._members()
    paths = {one.path for one in tools}
    assert {"usr/bin/sh", "usr/bin/ls", "usr/bin/cat", "usr/bin/true"} <= paths
    assert any("ld-" in path or "libc" in path for path in paths)
    assert not paths & {one.path for one in extras}
    for one in (*tools, *extras):
        assert not one.source or os.path.isfile(one.source)


def test_a_program_of_many_names_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(os.path.realpath(sys.executable), tmp_path / "coreutils")
    for name in ("ls", "cat"):
        (tmp_path / name).symlink_to("coreutils")
    monkeypatch.setattr(mini, "_SEARCH", str(tmp_path))
    assert mini._programs(["ls", "cat", "absent"]) == [
        Member("usr/bin/ls", source=str(tmp_path / "coreutils")), Member("usr/bin/cat", target="ls"),
    ]  # fmt: skip


def test_secrets() -> None:
    regular, folder = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
    for path in ("shadow", "shadow-", "gshadow", "machine-id", "ssh/ssh_host_rsa_key.pub", "sudoers.d", "ssl/private"):
        assert mask.is_secret("etc", path, regular), path
    for path in ("passwd", "group", "ssl/certs", "ssh/ssh_config", "hosts", "ld.so.cache", "alternatives"):
        assert not mask.is_secret("etc", path, folder), path
    assert mask.is_secret("etc", "any", stat.S_IFREG | 0o640)
    assert mask.is_secret("opt", "any", stat.S_IFDIR | 0o750)
    assert mask.is_secret("etc", "any", stat.S_IFSOCK | 0o777)
    assert not mask.is_secret("etc", "any", stat.S_IFLNK | 0o777)


def test_the_mask_hides_and_replaces(engine: Engine) -> None:
    folder = Path(mask.of(engine, "etc") or "")
    assert folder.parent == engine.cache
    assert "root:*:" in (folder / "shadow").read_text()
    assert (folder / "machine-id").read_bytes() == b""
    private = folder / "ssl/private"
    if private.exists():
        assert os.getxattr(private, lower.OPAQUE[int(engine.rootless)]) == b"y"
    whiteouts = [path for path in folder.rglob("*") if lower.is_whiteout(path.lstat())]
    assert folder / "shadow" not in whiteouts
    assert mask.of(engine, "etc") == str(folder)
    assert mask.of(engine, "usr") is None


def test_names_of_accounts_are_bytes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "_accounts", lambda: ["r\udce9my", "staff"])
    folder = Path(mask.of(engine, "etc") or "")
    assert (folder / "shadow").read_bytes() == b"r\xe9my:*:19000:0:99999:7:::\n"


def test_the_mask_is_made_anew_when_something_changes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mask.of(engine, "etc")
    monkeypatch.setattr(mask, "_time", lambda _: 1)
    monkeypatch.setattr(mask, "entries", lambda _: [])
    assert mask.of(engine, "etc") != first


def test_a_folder_of_the_cache_is_made_once_and_an_interrupted_one_goes(engine: Engine) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mask.made_once(engine, "host", "what", interrupted)
    assert list(engine.cache.iterdir()) == []
    made = mask.made_once(engine, "host", "what", lambda folder: (folder / "a").touch())
    assert mask.made_once(engine, "host", "what", interrupted) == made
    assert [path.name for path in made.iterdir()] == ["a"]


def test_the_plan_shows_system_folders_and_nothing_else() -> None:
    plan = host.Plan([])
    for path in host.VISIBLE:
        plan.show(path)
    assert "usr" in plan.overlays
    assert "etc" in plan.overlays
    assert not {"home", "root", "run", "tmp", "var", "work", "mnt"} & set(plan.overlays)
    if os.path.islink("/bin"):
        assert plan.links["bin"] == os.readlink("/bin")
    assert plan.folders["tmp"] == 0o1777


def test_a_folder_with_mounts_below_is_shown_piece_by_piece() -> None:
    plan = host.Plan(["/etc/hosts", "/proc"])
    plan.show("etc")
    assert "etc" not in plan.overlays
    assert "etc/alternatives" in plan.overlays or "etc/apt" in plan.overlays
    assert "etc/passwd" in plan.copies
    assert "etc/shadow" not in plan.copies
    assert not [path for path in plan.overlays if path.startswith("etc/ssl/private")]


def test_python_is_at_its_place_where_it_is_hidden() -> None:
    plan = host.Plan(["/home/v/venv/shared"])
    plan.overlays = ["usr"]
    plan.place("usr/local")
    plan.place("home/u/venv")
    plan.place("home/u/venv/lib/python3.12/site-packages")
    plan.place("home/v/venv")
    assert plan.overlays == ["usr", "home/u/venv"]
    assert plan.binds == ["home/v/venv"]
    assert plan.folders["home/u"] == 0o755


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    plan = host.Plan(["/data/py/mounted"])
    plan.overlays = ["usr"]
    plan.folders["usr"] = 0o755
    plan.place("home/u/venv")
    plan.place("data/py")
    (tmp_path / "skeleton").mkdir()
    plan.make(tmp_path / "skeleton/fs")
    overlays = {"usr": str(tmp_path / "mask"), "home/u/venv": None}
    (tmp_path / "skeleton/plan.json").write_text(json.dumps({"overlays": overlays, "binds": plan.binds}))
    return tmp_path / "skeleton/fs"


def mounted(steps: list[Step]) -> dict[str, list[str]]:
    """The folders below each place, top first."""
    return {step["args"]["target"]: step["args"].get("lower") or [step["args"]["source"]] for step in steps}


def test_layers_lie_between_the_host_and_the_changes(skeleton: Path, tmp_path: Path) -> None:
    low, top = tmp_path / "low", tmp_path / "top"
    (low / "usr/lib").mkdir(parents=True)
    (top / "home/u/venv").mkdir(parents=True)
    steps = host.steps([str(top), str(low), str(skeleton), "/"], "/c/rootfs", rootless=False, place="/c")
    assert mounted(steps) == {
        "/c/rootfs": [str(top), str(low), str(skeleton)],
        "/c/rootfs/usr": [f"{low}/usr", f"{tmp_path}/mask", "/usr"],
        "/c/rootfs/home/u/venv": [f"{top}/home/u/venv", "/home/u/venv"],
        "/c/rootfs/data/py": ["/data/py"],
    }
    uppers = [step["args"].get("upper") for step in steps]
    assert uppers == ["/c/upper/.root", "/c/upper/usr", "/c/upper/home/u/venv", None]


def test_what_a_layer_removes_or_replaces_of_the_host_is_not_shown(skeleton: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    (layer / "usr").mkdir(parents=True)
    os.setxattr(layer / "usr", lower.OPAQUE[1], b"y")
    (layer / "home").symlink_to("/")  # nothing is looked for behind it
    os.mknod(layer / "data", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    steps = host.steps([str(layer), str(skeleton), "/"], "/c/rootfs", rootless=True, place="/c")
    assert list(mounted(steps)) == ["/c/rootfs"]


def test_read_only_it_needs_no_place(skeleton: Path) -> None:
    steps = host.steps([str(skeleton), "/"], "/shown", rootless=False, place="")
    assert mounted(steps)["/shown"] == [str(skeleton)]
    assert not [step for step in steps if "upper" in step["args"]]


def test_no_home_directory_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("lib", "work", "env/site-packages"):
        (home / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "work")
    monkeypatch.setattr(
        sys,
        "path",
        ["", str(home), str(home / "work"), "/", "/home", str(home / "lib"), str(home / "env/site-packages")],
    )
    found = host.python_folders()
    assert str(home / "lib") in found
    assert str(home / "env/site-packages") in found
    assert not {str(home), "/", "/home", "", str(home / "work")} & set(found)
    assert any(path == sys.base_prefix or sys.base_prefix.startswith(path + "/") for path in found)


def test_path_begins_with_the_notebook_s_python() -> None:
    path = host.config()["config"]["Env"][0].removeprefix("PATH=")
    folder = os.path.dirname(sys.executable)
    assert path.split(":")[0] == folder or folder in host._PATH.split(":")
