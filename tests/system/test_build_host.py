"""FROM host: layers above this machine's own folders, built and committed, run, and copied out of."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.builder import api as builder
from nbcontainers.container import api as containers
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import api
from nbcontainers.image.image import Image

WHEEL = "nbc_greeting-1.0-py3-none-any.whl"
PIP = f"{sys.executable} -m pip install --quiet --no-index --no-deps --no-cache-dir --disable-pip-version-check"
UNZIP = f"{sys.executable} -m zipfile -e"
GREET = f"{sys.executable} -c 'import nbc_greeting; print(nbc_greeting.WORD)'"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder with a wheel and a file."""
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as wheel:
        wheel.writestr("nbc_greeting.py", "WORD = 'good morning'\n")
        about = "nbc_greeting-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: nbc-greeting\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    (tmp_path / "data.csv").write_text("1,2\n")
    return tmp_path


def build(text: str, context: Path, **options: Any) -> Image:
    return api.build(str(context), dockerfile=text, **{"network": "none", **options})


def said(image: Image | str, script: str) -> str:
    output: list[bytes] = []
    add = output.append
    containers.run(getattr(image, "id", image), "sh", "-c", script, rm=True, network="none", stdout=add, stderr=add)
    return b"".join(output).decode()


def test_packages_beside_the_notebook_s_own(fresh_engine: Engine, context: Path) -> None:
    """RUN pip install goes into a layer above the notebook's Python, and nothing into that."""
    wheel, packages = f"/srv/data/{WHEEL}", sysconfig.get_path("purelib")
    install = f"{PIP} {wheel}" if importlib.util.find_spec("pip") else f"{UNZIP} {wheel} {packages}"
    text = (
        f"FROM host AS env\nCOPY {WHEEL} data.csv /srv/data/\nRUN {install} && rm {wheel}\n"
        f"RUN {GREET} > /srv/said\nCMD {GREET}\n"
    )
    env = build(text, context, tag=["env"])
    assert said("env", f"{GREET}; ls /srv/data; cat /srv/data/data.csv") == "good morning\ndata.csv\n1,2\n"
    assert "ModuleNotFoundError" in said("host", f"{GREET} 2>&1; true")
    config = env.config["rootfs"]
    assert (env.base, len(config["diff_ids"]), len(env.layers)) == ("host", 3, 3)
    assert (env.size or 0) < 1 << 20
    events: list[dict[str, Any]] = []
    assert build(text, context, progress=events.append).id == env.id
    done = [one["state"] for one in events if one["event"] == "step" and not one["id"].endswith(".from")]
    assert set(done) - {"running"} <= {"cached", "done"}
    assert done.count("cached") == 3
    copied = build(f"{text}FROM mini\nCOPY --from=env /srv/said /said\n", context)
    assert (said(copied, "cat /said"), copied.base) == ("good morning\n", "")
    on_it = build("FROM env\nRUN echo more >> /srv/said\n", context, squash=True)
    assert said(on_it, f"{GREET}; cat /srv/said") == "good morning\ngood morning\nmore\n"
    assert build(text, context, squash=True, no_cache=True).base == "host"


def test_what_layers_remove_and_replace(fresh_engine: Engine, context: Path) -> None:
    """Of what the container made itself and, as root, of the host's files: whiteouts and opaque folders."""
    text = "FROM host\nRUN mkdir -p /etc/nbc/a /media/x && touch /etc/nbc/a/1 /media/x/1 && chmod 700 /media/x\n"
    text += "RUN rm -r /etc/nbc/a && mkdir /etc/nbc/a && touch /etc/nbc/a/2 && rmdir /var/opt && mv /media/x /media/y\n"
    image = build(text, context)
    assert said(image, "ls /etc/nbc/a /media; stat -c %a /media/y; test -e /var/opt || echo gone") == (
        "/etc/nbc/a:\n2\n\n/media:\ny\n700\ngone\n"
    )
    assert build(f"{text}RUN test -e /var/opt && exit 1; ls /media/y/1\n", context).layers[:2] == image.layers


@pytest.mark.as_root
def test_what_layers_do_to_the_host_s_files(fresh_engine: Engine, context: Path) -> None:
    folder = Path("/etc/nbc-test-from-host")
    folder.mkdir()
    try:
        (folder / "old").touch()
        (folder / "other").touch()
        image = build(
            f"FROM host\nRUN rm {folder}/old\nRUN rm -r {folder}; mkdir {folder}; touch {folder}/new\n", context
        )
        assert said(image, f"ls {folder}") == "new\n"
        assert sorted(path.name for path in folder.iterdir()) == ["old", "other"]
        taken = build(f"FROM mini\nCOPY --from=host {folder} /there\n", context)
        assert said(taken, "ls /there") == "old\nother\n"
        (folder / "old").write_text("changed")
        assert said(build(f"FROM mini\nCOPY --from=host {folder} /there\n", context), "cat /there/old") == "changed"
        mounted = build(f"FROM mini\nRUN --mount=from=host,source={folder},target=/m cat /m/old > /x\n", context)
        assert said(mounted, "cat /x") == "changed"
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_nothing_changed_is_no_layer(fresh_engine: Engine, context: Path) -> None:
    image = build("FROM host\nRUN true\nWORKDIR /srv\n", context)
    assert image.layers == []
    assert said(image, "pwd; test -d /usr/bin && echo there") == "/srv\nthere\n"


def test_commit_of_the_host_s_container(fresh_engine: Engine, context: Path) -> None:
    script = "mkdir /etc/nbc; echo 1 > /etc/nbc/new; echo 2 > /home/2; rmdir /var/opt"
    with containers.run("host", "sh", "-c", script) as one:
        before = containers.diff(one)
        image = containers.commit(one, "mine")
    kinds = {f"{row['kind']} {row['path']}" for row in before}
    assert kinds == {
        "C /etc", "A /etc/nbc", "A /etc/nbc/new", "C /home", "A /home/2", "C /var", "D /var/opt",
    }  # fmt: skip
    assert (image.base, len(image.layers)) == ("host", 1)
    assert said("mine", "cat /etc/nbc/new /home/2; ls -d /var/opt 2>/dev/null; true") == "1\n2\n"
    with containers.run("mine", "rm", "/home/2") as two:
        assert [f"{row['kind']} {row['path']}" for row in containers.diff(two)] == ["C /home", "D /home/2"]
        assert len(containers.commit(two, "mine:2").layers) == 2
    found = api.inspect("mine")[0]
    assert (found["RootFS"]["Base"], found["GraphDriver"]["Data"]["LowerDir"][-2:]) == ("host", ":/")
    assert len(api.history("mine")) == 2
    rows = [f"{row['kind']} {row['path']}" for row in api.diff("mine", "mine:2")]
    assert rows == ["D /home/2"]
    tree = {row["created_by"]: (row["added"], row["changed"], row["removed"]) for row in api.tree("mine:2")}
    assert list(tree.values()) == [(2, 0, 0), (0, 0, 1)]
    assert "mine" in repr(image)


def test_it_stays_on_this_machine(fresh_engine: Engine, context: Path, tmp_path: Path) -> None:
    build("FROM host\nCOPY data.csv /srv/\n", context, tag=["mine"])
    for verb in (
        lambda: api.save("mine", output=str(tmp_path / "x.tar")),
        lambda: api.push("mine", "127.0.0.1:1/mine"),
        lambda: api.export("mine", output=str(tmp_path / "x.tar")),
        lambda: build("FROM mine\n", context, output=[str(tmp_path / "out")]),
        lambda: api.diff("mine", "mini"),
    ):
        with pytest.raises(InvalidArgument, match="this machine's"):
            verb()
    with pytest.raises(InvalidArgument, match="own folders") as caught:
        api.save("mine", output=str(tmp_path / "x.tar"))
    assert "COPY --from=mine" in caught.value.hint
    api.verify("mine")
    api.rm("mine")
    api.prune()  # what `build` made of it
    builder.prune(all=True)
    assert not [path for path in fresh_engine.snapshots.iterdir() if len(path.name) == 64]


@pytest.mark.as_root
def test_as_another_user(fresh_engine: Engine, context: Path) -> None:
    image = build("FROM host\nRUN mkdir -m 777 /srv/all\nUSER 1000:1000\nRUN id -u > /srv/all/id\n", context)
    assert said(image, "cat /srv/all/id; id -u; stat -c %u /srv/all/id; touch /usr/x 2>/dev/null || echo no") == (
        "1000\n1000\n1000\nno\n"
    )
    assert os.geteuid() == 0
