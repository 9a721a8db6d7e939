"""What an image says of itself is shown, never obeyed by the host (CVE-2014-9358, CVE-2026-53488, CVE-2026-50195)."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nbcontainers
from nbcontainers.errors import Error
from nbcontainers.image import api as image_api
from tests import inside
from tests.crafted import Canary, Images

HOSTILE = [
    "binary:///bin/sh?c=touch%20/tmp/owned", "$(touch /tmp/owned)", "`touch /tmp/owned`", "; touch /tmp/owned",
    "../../../../tmp/owned", "/../../etc", "a\nb: c\n", "x" * 100_000, "\u202egnp.exe", "\x1b]0;owned\x07",
    "{{.Secret}}", "%(secret)s", "{__class__}", "-v/:/host", "<script>alert(1)</script>", "", " ", "\x00",
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_was_touched(canary: Canary) -> Any:
    owned = Path("/tmp/owned")
    assert not owned.exists()
    yield
    assert not owned.exists()


def hostile_config(text: str) -> dict[str, Any]:
    safe = text.replace("\x00", "")
    return {
        "Labels": {text or "empty": text, "io.containerd.runtime.binary": text, "run.oci.handler": text,
                   "org.criu.config": text, "io.podman.annotations.privileged": "TRUE", "devices": "/dev/kmsg"},
        "Env": ["PATH=/bin", f"LD_PRELOAD={safe}", f"NBCONTAINERS_ROOT={safe}", f"PYTHONPATH={safe}", safe, f"={safe}"],
        "ExposedPorts": {text: {}}, "OnBuild": [text], "Shell": [text], "Domainname": text, "Hostname": "evil",
        "Healthcheck": {"Test": ["CMD-SHELL", text]}, "MacAddress": text, "ArgsEscaped": True,
    }  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_metadata_is_only_shown(crafted: Images, text: str) -> None:
    if "\x00" in text:
        with pytest.raises(Error):
            inside.shell("true", crafted(config={"Env": [text]}))
        return
    image = crafted(config=hostile_config(text))
    done = inside.shell("id -u; cat /proc/sys/kernel/hostname; [ -e /dev/kmsg ] && echo device", image)
    shown = image_api.inspect(image)[0]
    with inside.running(image) as container:
        assert repr(container)
        assert container.inspect()
        assert "owned" not in str(nbcontainers.ps()) or "owned" in container.name
    assert done.stdout.splitlines()[0] == "0"
    assert "evil" not in done.stdout
    assert "device" not in done.stdout
    assert "io.containerd.runtime.binary" in str(shown)


def test_nothing_of_an_image_is_markup_in_a_notebook(crafted: Images) -> None:
    markup = "<img src=x onerror=alert(1)>"
    image = crafted(config={"Labels": {markup: markup}, "Cmd": ["true", markup], "Author": markup})
    with inside.running(image, "sh", "-c", f"sleep 100; echo '{markup}'") as container:
        for table in (nbcontainers.ps(no_trunc=True), image_api.ls(), container.top()):
            assert markup not in table.html()
        assert markup not in container._repr_mimebundle_().get("text/html", "")


@pytest.mark.parametrize("user", ["../../etc", "root\nroot:x:0", "$(id)", "-1", "0:-1", "4294967295"])
def test_a_hostile_user_is_an_error(crafted: Images, user: str) -> None:
    with pytest.raises(Error):
        inside.shell("id", crafted(config={"User": user}))


@pytest.mark.parametrize("place", ["/proc/self/fd/7", "../../..", "relative", "/a\nb", "/proc/1/root", "x" * 5000])
def test_a_hostile_working_directory_is_inside_or_an_error(crafted: Images, canary: Canary, place: str) -> None:
    image = crafted(config={"WorkingDir": place})
    done = inside.explained(lambda: inside.shell("ls ../../../../../..", image))
    if done is not None and done.exit_code == 0:
        assert "home" not in done.stdout.split()
        assert "bin" in done.stdout.split()


@pytest.mark.parametrize(
    "place", ["/../../outside", "../outside", "/tmp/../../outside", "/", "/proc", "/dev", "a\nb", "/dev/null"]
)
def test_a_hostile_volume_is_inside_or_an_error(crafted: Images, canary: Canary, place: str) -> None:
    before = set(os.listdir("/"))
    image = crafted(config={"Volumes": {place: {}}})
    script = "head -1 /proc/self/status; echo x > /proc/sys/kernel/core_pattern && echo open; echo end"
    done = inside.explained(lambda: inside.shell(script, image))
    assert set(os.listdir("/")) == before
    if done is not None and done.exit_code == 0:
        assert done.stdout == "Name:\thead\nend\n"


@pytest.mark.parametrize("words", [["/bin/../../../bin/bash"], ["../bin/bash"], ["-c"], ["\x00"], [""], ["/proc/self/exe"],
                                   ["a" * 200_000], ["/bin"], ["/etc/passwd"]])  # fmt: skip
def test_a_hostile_entrypoint_is_an_explained_error(crafted: Images, words: list[str]) -> None:
    done = inside.explained(lambda: inside.run(crafted(config={"Entrypoint": words, "Cmd": []})))
    assert done is None or done.exit_code in (126, 127), done


@pytest.mark.parametrize("name", ["../../../tmp/owned:latest", "/tmp/owned", "a/../../b:x", "name:../../x", "UPPER:x",
                                  "x\ny:latest", "-rf:latest", "x" * 5000, "host:latest", "mini", "localhost/host:latest", "localhost/mini:latest"])  # fmt: skip
def test_a_hostile_name_is_refused_or_only_a_name(crafted: Images, name: str) -> None:
    before = set(Path("/tmp").iterdir())
    host = image_api.inspect("host")[0]
    inside.explained(lambda: inside.shell("true", crafted(name=name)))
    assert image_api.inspect("host")[0] == host  # the embedded images cannot be replaced
    assert not {path for path in set(Path("/tmp").iterdir()) - before if "owned" in path.name}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text(max_size=8) | st.sampled_from(HOSTILE[:6]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = ["Env", "Cmd", "Entrypoint", "Labels", "User", "Volumes", "WorkingDir", "StopSignal", "ExposedPorts", "Hostname"]


@settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(KEYS), JSON, min_size=1, max_size=2))
def test_a_config_of_any_json_runs_or_is_explained(crafted: Images, config: dict[str, Any]) -> None:
    done = inside.explained(lambda: inside.shell("true", crafted(config=config), entrypoint=""))
    assert done is None or done.exit_code in (0, 125, 126, 127)


# --- the folders of the engine: CVE-2021-41091, 2021-41103, 2020-15257 ---


def test_the_engines_folders_are_ours_alone(crafted: Images) -> None:
    image = crafted()
    with inside.running(image) as container:
        engine = container.engine
        for place in (engine.root, engine.run):
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
        folders = [path for path in engine.run.rglob("*") if path.is_dir() and not path.is_symlink()]
        assert folders
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
        sockets = [path for path in engine.run.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
        assert sockets
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets} == {0o600}


def test_no_process_of_ours_has_an_abstract_socket(crafted: Images) -> None:
    """CVE-2020-15257: they belong to the network namespace, which a container may share."""
    before = abstract()
    with inside.running(crafted(), network="host") as container:
        inside.execute(container, "true")
        assert abstract() - before == set()


def abstract() -> set[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return {line.split()[-1] for line in lines if line.split()[-1].startswith("@")}


@pytest.mark.as_root
def test_another_user_of_the_host_does_not_reach_a_layer(crafted: Images) -> None:
    with inside.running(crafted()) as container:
        folder = str(container.engine.root)
        for place in (folder, f"{folder}/snapshots", f"{folder}/images", str(container.engine.run)):
            done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", place],
                                  capture_output=True, check=False)  # fmt: skip
            assert done.returncode != 0
