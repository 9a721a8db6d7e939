"""Manifests and configs: what is read, and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.image import archive, change
from nbcontainers.oci import image

SHA = "sha256:" + "a" * 64
GOOD: dict[str, Any] = {"schemaVersion": 2, "config": {"mediaType": "x", "digest": SHA, "size": 2}, "layers": []}


def test_chain_ids() -> None:
    """The example of the image-spec: ChainID(L0|L1) = Digest(ChainID(L0) + " " + DiffID(L1))."""
    diffs = ["sha256:" + digit * 64 for digit in "abc"]
    chain = image.chain_ids(diffs)
    assert chain[0] == diffs[0]
    assert chain[1] == "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"
    assert image.chain_ids(diffs[:2]) == chain[:2]
    assert image.chain_ids([]) == []


@pytest.mark.parametrize(
    "wrong, message",
    [
        ("nonsense", "not JSON"), ([], "not a JSON object"), ({"config": 1}, "no digest"), ({"layers": 1}, "no list of layers"),
        ({"manifests": []}, "no image manifest"), ({"mediaType": image.INDEX}, "no image manifest"),
        ({"layers": [{"digest": SHA, "size": -1}]}, "impossible size -1"), ({"layers": [{"digest": SHA, "size": True}]}, "size"),
        ({"layers": [{"digest": "sha256:../../x", "size": 1}]}, "no digest"), ({"layers": [None]}, "layer 1"),
        ({"layers": [{"digest": SHA, "size": 1, "annotations": {"a": 1}}]}, "layer 1 .* annotations"),
        ({"config": {"digest": SHA, "size": 1, "platform": "linux"}}, "the config .* platform"),
    ],
)  # fmt: skip
def test_bad_manifests(wrong: Any, message: str) -> None:
    content = (
        wrong.encode()
        if isinstance(wrong, str)
        else json.dumps(GOOD | wrong if isinstance(wrong, dict) else wrong).encode()
    )
    with pytest.raises(ImageError, match=message):
        image.read_manifest(content)


def test_null_is_absent_and_more_is_tolerated() -> None:
    assert image.read_manifest(json.dumps(GOOD | {"layers": None, "x": 1}).encode())["layers"] == []
    config = {"rootfs": {"type": "layers", "diff_ids": None}, "config": None, "extra": {}}
    assert image.read_config(json.dumps(config).encode(), 0)["rootfs"]["diff_ids"] == []


@pytest.mark.parametrize("rootfs", [None, {}, {"diff_ids": ["x"]}, {"diff_ids": [SHA, SHA]}, {"diff_ids": {}}])
def test_bad_configs(rootfs: Any) -> None:
    with pytest.raises(ImageError, match="DiffIDs"):
        image.read_config(json.dumps({"rootfs": rootfs}).encode(), 1)


@pytest.mark.parametrize("history", [{"a": 1}, ["x"], [None]])
def test_a_history_of_another_form(history: Any) -> None:
    with pytest.raises(ImageError, match="history that is no list of objects"):
        image.read_config(json.dumps({"rootfs": {"diff_ids": []}, "history": history}).encode(), 0)


@pytest.mark.parametrize("wrong", [{"RepoTags": [5]}, {"RepoTags": {"a": 1}}, {"Layers": [{}]}, {"Layers": "ab"}])
def test_a_docker_archive_of_another_form(tmp_path: Path, wrong: dict[str, Any]) -> None:
    content = json.dumps([{"Config": "config.json", "RepoTags": [], "Layers": []} | wrong]).encode()
    member = tarfile.TarInfo("manifest.json")
    member.size = len(content)
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        tar.addfile(member, io.BytesIO(content))
    engine = Engine(tmp_path / "root", tmp_path / "run", rootless=False).prepare()
    with pytest.raises(ImageError, match=r"image\.tar: manifest\.json has Layers or RepoTags"):
        archive.load(engine, str(tmp_path / "image.tar"))


def test_deep_json_is_an_error_not_a_crash() -> None:
    with pytest.raises(ImageError, match="not JSON"):
        image.read_manifest(b"[" * 200_000)


@pytest.mark.parametrize(
    "line, expected",
    [
        ('CMD ["a", "b c"]', {"Cmd": ["a", "b c"]}),
        ("cmd echo hi", {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
        ("CMD [not json", {"Cmd": ["/bin/sh", "-c", "[not json"]}),
        ("ENV A=1 B='x y'", {"Env": ["PATH=/bin", "A=1", "B=x y"]}),
        ("ENV PATH /usr/bin:/bin", {"Env": ["PATH=/usr/bin:/bin"]}),
        ("EXPOSE 80 53/udp", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        ("LABEL a=b", {"Labels": {"a": "b"}}),
        ("USER app:app", {"User": "app:app"}),
        ("VOLUME /data /more", {"Volumes": {"/data": {}, "/more": {}}}),
        ("WORKDIR sub", {"WorkingDir": "/srv/sub"}),
        ("WORKDIR /x", {"WorkingDir": "/x"}),
        ("STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
        ("ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
    ],
)
def test_changes(line: str, expected: dict[str, Any]) -> None:
    config: dict[str, Any] = {"Env": ["PATH=/bin"], "WorkingDir": "/srv"}
    change.apply(config, [line])
    assert {key: config[key] for key in expected} == expected


def test_an_entry_point_takes_the_image_s_command_away() -> None:
    """But not one that was given with it, as in a Dockerfile."""
    config: dict[str, Any] = {"Cmd": ["old"]}
    change.apply(config, ['ENTRYPOINT ["b"]'])
    assert config == {"Entrypoint": ["b"]}
    config = {"Cmd": ["old"]}
    change.apply(config, ['CMD ["a"]', 'ENTRYPOINT ["b"]'])
    assert config == {"Cmd": ["a"], "Entrypoint": ["b"]}


@pytest.mark.parametrize("line, message", [("RUN x", "no instruction"), ("CMD", "needs a value"), ("EXPOSE http", "no port"),
                                           ("LABEL a=b c", "c"), ("ENV A='x", "A='x"), ("USER a\nUSER b", "more than one")])  # fmt: skip
def test_bad_changes(line: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        change.apply({}, [line])
    assert message in caught.value.message
    assert caught.value.hint


def test_a_stack_on_the_host_is_another_one() -> None:
    """Unpacked it may differ: whiteouts are there only where there is something to hide."""
    diffs = [f"sha256:{number:064x}" for number in range(2)]
    on_host = image.chain_ids(diffs, image.ON_HOST)
    assert not {*on_host} & {*image.chain_ids(diffs)}
    assert image.stacked(diffs) == {"type": "layers", "diff_ids": diffs}
    with pytest.raises(ImageError, match="another machine's"):
        image.check_whole({"rootfs": image.stacked(diffs, image.ON_HOST)}, "it")
    image.check_whole({"rootfs": image.stacked(diffs)}, "it")
