"""image build: what a Dockerfile makes, what is kept, what is said of a failure, and that nothing is left."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.builder import api as builder
from nbcontainers.container import api as containers
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError, ImageError, InvalidArgument
from nbcontainers.image import api, kept
from nbcontainers.image.image import Image
from tests.served import served

Events = list[dict[str, Any]]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder with some files."""
    folder = tmp_path / "context"
    (folder / "d/e").mkdir(parents=True)
    (folder / "a").write_text("alpha\n")
    (folder / "d/b").write_text("beta\n")
    (folder / "d/e/c").write_text("gamma\n")
    return folder


@pytest.fixture(autouse=True)
def nothing_kept(engine: Engine) -> Iterator[None]:
    """Every test begins without results, and no folder of a step is ever left."""
    builder.prune(all=True)
    yield
    assert list((engine.cache / "build/work").glob("*")) == []
    assert list(engine.run.glob(".build*")) == []
    there = engine.containers.glob("[0-9a-f]*/container.json")  # .ID.removed are on their way out
    assert [one for one in there if "build" in one.read_text()] == []


def build(text: str, context: Path | dict[str, Any] | str = "-", **options: Any) -> Image:
    given = context if isinstance(context, (dict, str)) else str(context)
    return api.build(given, dockerfile=text, **{"network": "none", **options})


def said(image: Image, *command: str) -> str:
    """What a command in the image writes."""
    output: list[bytes] = []
    containers.run(image.id, *command, rm=True, network="none", stdout=output.append)
    return b"".join(output).decode()


def states(events: Events) -> list[str]:
    """How the steps ended, but for FROM."""
    steps = [one for one in events if one["event"] == "step" and not one["id"].endswith(".from")]
    return [one["state"] for one in steps if one["state"] != "running"]


def test_files_config_and_history(context: Path) -> None:
    image = build(
        'FROM mini AS one\nARG X=1\nENV A=b\nWORKDIR /w\nCOPY a d ./\nRUN echo $X-$A > out\nCMD ["cat", "out"]\n',
        context, tag=["nbc-build"], label={"k": "v"}, annotation={"n": "m"},
    )  # fmt: skip
    try:
        assert said(image, "cat", "out") == "1-b\n"
        assert sorted(said(image, "find", "/w").split()) == sorted(["/w", "/w/a", "/w/b", "/w/e", "/w/e/c", "/w/out"])
        config = image.config["config"]
        assert (config["WorkingDir"], config["Cmd"], config["Labels"]["k"]) == ("/w", ["cat", "out"], "v")
        assert image.manifest["annotations"]["n"] == "m"
        assert image.manifest["annotations"]["org.opencontainers.image.base.name"] == "localhost/mini:latest"
        steps = [one["created_by"] for one in image.config["history"]][-3:]
        assert steps == ["COPY a d ./", "RUN |1 X=1 /bin/sh -c echo $X-$A > out", 'CMD ["cat", "out"]']
        assert sum(not one.get("empty_layer") for one in image.config["history"]) == len(image.layers)
    finally:
        api.rm("nbc-build")


def test_what_is_kept_and_what_is_done_again(context: Path) -> None:
    text = "FROM mini\nRUN echo 1 > /one\nCOPY a /a\nRUN echo 2 > /two\nCOPY d /d\n"
    events: Events = []
    first = build(text, context)
    assert build(text, context, progress=events.append).digest == first.digest
    assert states(events) == ["cached"] * 4
    (context / "d/b").write_text("other\n")
    os.utime(context / "a", (5, 5))  # times do not count
    events.clear()
    assert said(build(text, context, progress=events.append), "cat", "/d/b") == "other\n"
    assert states(events) == ["cached", "cached", "cached", "done"]
    events.clear()
    build(text, context, no_cache=True, progress=events.append)
    assert states(events) == ["done"] * 4


def test_what_else_a_result_depends_on(context: Path) -> None:
    """The network of RUN, times in a layer that stands alone, attributes of files."""
    events: Events = []

    def again(text: str, **options: Any) -> list[str]:
        events.clear()
        build(text, context, progress=events.append, **options)
        return states(events)

    run, copy = "FROM mini\nRUN true\n", "FROM mini\nCOPY --link a /\n"
    assert again(run) == again(run, network="host") == ["done"]
    assert again(run) == again(run, network="host") == ["cached"]
    assert again(copy) == again(copy, build_arg={"SOURCE_DATE_EPOCH": "1"}) == ["done"]
    assert again(copy) == again(copy, build_arg={"SOURCE_DATE_EPOCH": "1"}) == ["cached"]
    os.setxattr(context / "a", "user.x", b"y")
    assert again(copy) == ["done"]


def test_kept_results_outlive_their_image_until_pruned(context: Path, engine: Engine) -> None:
    text = "FROM mini\nRUN echo 1 > /only-here\n"
    image = build(text, context)
    api.rm(image.id)
    events: Events = []
    api.rm(build(text, context, progress=events.append).id)
    assert states(events) == ["cached"]
    assert len(builder.ls()) == 1
    assert _row_of_builds()["total"] == 1
    assert _row_of_builds()["size"] > 0
    builder.prune()
    assert _row_of_builds()["size"] == 0
    assert len(builder.ls()) == 0
    events.clear()
    build(text, context, progress=events.append)
    assert states(events) == ["done"]


def test_all_from_the_cache_is_the_same_image(context: Path) -> None:
    text = "FROM scratch\nENV a=b\nLABEL c=d\nCOPY a /\nUSER 5\n"
    first = build(text, context)
    time.sleep(0.01)
    assert build(text, context).digest == first.digest


def test_steps_travel_in_a_folder(context: Path, tmp_path: Path) -> None:
    text = "FROM mini\nRUN echo 1 > /one\nCOPY a /a\nRUN true\n"
    folder = str(tmp_path / "cache")
    first = build(text, context, cache_to=[folder])
    api.rm(first.id)
    builder.prune()
    events: Events = []
    assert build(text, context, cache_from=[folder], progress=events.append).digest == first.digest
    assert states(events) == ["cached"] * 3
    builder.prune()
    with pytest.raises(InvalidArgument, match="no such folder"):
        build(text, context, cache_from=[str(tmp_path / "nothing")])


@pytest.mark.slow
def test_steps_travel_by_a_registry(context: Path, tmp_path: Path) -> None:
    from tests.registries import docker_registry

    text = "FROM mini\nRUN echo 1 > /one\nCOPY a /a\nRUN true\n"
    with docker_registry(tmp_path / "registry") as registry:
        where = f"type=registry,ref={registry.host}/cache:main"
        first = build(text, context, cache_to=[where], cache_from=[where])
        api.rm(first.id)
        builder.prune()
        events: Events = []
        assert build(text, context, cache_from=[where], progress=events.append).digest == first.digest
        assert states(events) == ["cached"] * 3
        api.push(first.id, f"{registry.host}/cache:image")
        with pytest.raises(ImageError, match="no cache of a build"):
            build(text, context, cache_from=[where.replace("main", "image")])
    with pytest.raises(InvalidArgument, match="is not known"):
        build(text, context, cache_to=["type=gha"])


def _row_of_builds() -> dict[str, Any]:
    from nbcontainers.system import api as system

    return next(row for row in system.df() if row["type"] == "builds")


def test_stages_run_side_by_side_and_unused_ones_not_at_all() -> None:
    text = (
        "FROM mini AS a\nRUN sleep 1; echo a > /a\nFROM mini AS b\nRUN sleep 1; echo b > /b\nFROM mini AS unused\nRUN false\n"
        "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    begun = time.monotonic()
    image = build(text)
    assert time.monotonic() - begun < 1.9
    assert len(image.layers) == 2


def test_mounts_of_run(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "from-env")
    text = (
        "FROM mini AS one\nRUN echo one > /file\nFROM mini\n"
        "RUN --mount=type=bind,target=/c --mount=type=bind,from=one,source=/file,target=/f cat /c/d/b /f > /out; ! touch /c/x\n"
        "RUN --mount=type=cache,target=/cache echo x >> /cache/n; wc -l < /cache/n > /count\n"
        "RUN --mount=type=tmpfs,target=/t touch /t/x && grep -q ' /t tmpfs' /proc/mounts\n"
        "RUN --mount=type=secret,id=TOKEN --mount=type=secret,id=s,env=S cat /run/secrets/TOKEN > /out2; echo $S >> /out2\n"
        "RUN --mount=type=bind,target=/c,rw touch /c/new\n"
    )
    image = build(text, context, secret={"TOKEN": "from-python", "s": b"other"})
    assert said(image, "cat", "/out", "/out2", "/count") == "beta\none\nfrom-pythonother\n1\n"
    assert said(
        build(text, context, secret=["id=TOKEN,env=TOKEN", "id=s,env=TOKEN"], no_cache=True), "cat", "/out2", "/count"
    ) == ("from-envfrom-env\n2\n")
    assert not (context / "new").exists()
    listed = said(image, "find", "/", "-xdev", "-maxdepth", "1").split()
    assert not {"/c", "/f", "/t", "/cache"} & {*listed}, "no mount point stays"
    linked = "FROM mini\nRUN mkdir /real; ln -s real /link\nRUN --mount=type=tmpfs,target=/link/t touch /link/x\n"
    assert said(build(linked, context), "ls", "/real") == "x\n"


def test_one_cache_twice_in_a_run() -> None:
    two = " ".join(f"--mount=type=cache,id=x,sharing={how},target=/{how}" for how in ("locked", "private", "shared"))
    text = (
        f"FROM mini\nRUN {two} --mount=type=tmpfs,target=/process touch /locked/f && ls /private/f /shared/f > /out\n"
    )
    assert said(build(text), "cat", "/out") == "/private/f\n/shared/f\n"


def test_here_documents_and_exec_form() -> None:
    text = (
        'FROM mini\nRUN ["sh", "-c", "echo exec > /e"]\nRUN <<EOF\necho one > /one\necho two >> /one\nEOF\n'
        "COPY <<a <<b /files/\nA\na\nB\nb\nRUN <<X\n#!/bin/cat\nthe script\nX\n"
    )
    events: Events = []
    image = build(text, progress=events.append)
    assert said(image, "cat", "/e", "/one", "/files/a", "/files/b") == "exec\none\ntwo\nA\nB\n"
    output = "".join(one["text"] for one in events if one["event"] == "output")
    assert output == "#!/bin/cat\nthe script\n"


def test_copy_flags(context: Path) -> None:
    image = build(
        "FROM mini\nCOPY --chown=5:6 --chmod=640 a /x/y/a\nCOPY --parents d/e/c /p/\nCOPY --exclude=e d /q\nCOPY --link a /l/a\n"
        "COPY --parents ./d/./e/* /r/\n",
        context,
    )
    assert said(image, "stat", "-c", "%a %u %g %n", "/x/y/a") == "640 5 6 /x/y/a\n"
    assert sorted(said(image, "find", "/p", "/q", "/l", "/r", "-type", "f").split()) == sorted(
        ["/p/d/e/c", "/q/b", "/l/a", "/r/e/c"]
    )


def test_archives_are_unpacked_by_add(context: Path) -> None:
    with tarfile.open(context / "t.tgz", "w:gz") as archive:
        archive.add(context / "a", "in/a")
    image = build("FROM mini\nADD t.tgz /u\nCOPY t.tgz /c/\nADD --unpack=false t.tgz /n/\n", context)
    assert sorted(said(image, "find", "/u", "/c", "/n", "-type", "f").split()) == sorted(
        ["/u/in/a", "/c/t.tgz", "/n/t.tgz"]
    )


def test_add_of_a_pipe(tmp_path: Path) -> None:
    """Nobody reads it."""
    os.mkfifo(tmp_path / "pipe")
    assert said(build("FROM mini\nADD pipe /\n", tmp_path), "stat", "-c", "%F", "/pipe") == "fifo\n"


def test_files_from_memory() -> None:
    image = build("FROM mini\nCOPY . /m/\n", {"data/a.csv": b"1,2\n", "b": "text"})
    assert said(image, "cat", "/m/data/a.csv", "/m/b") == "1,2\ntext"
    assert build("FROM mini\nCOPY . /m/\n", {"data/a.csv": b"1,2\n", "b": "text"}).digest == image.digest


def test_named_contexts(context: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/m").write_text("more\n")
    image = build("FROM mini\nCOPY --from=other m /m\n", context, build_context=[f"other={tmp_path}/more"])
    assert said(image, "cat", "/m") == "more\n"
    build("FROM mini\nRUN echo image > /i\n", tag=["nbc-context"])
    try:
        as_image = {"other": "docker-image://nbc-context"}
        image = build(
            "FROM other\nCOPY --from=other /i /j\nRUN --mount=from=other,target=/o cat /o/i > /k\n",
            build_context=as_image,
        )
        assert said(image, "cat", "/i", "/j", "/k") == "image\n" * 3
        assert said(build("FROM mini AS other\nRUN false\n", build_context=as_image), "cat", "/i") == "image\n"
    finally:
        api.rm("nbc-context", force=True)


def test_the_same_twice_with_source_date_epoch(context: Path) -> None:
    text = "FROM mini\nWORKDIR /w\nCOPY . .\nRUN mkdir x; echo 1 > x/y; ln -s y x/z\n"
    given = {"build_arg": {"SOURCE_DATE_EPOCH": "1000000000"}, "no_cache": True}
    first = build(text, context, **given)
    time.sleep(1.1)
    assert build(text, context, **given).digest == first.digest
    assert first.config["created"] == "2001-09-09T01:46:40Z"


def test_onbuild(context: Path) -> None:
    build("FROM mini\nONBUILD COPY a /from-base\nONBUILD RUN echo 1 > /ran\n", context, tag=["nbc-onbuild"])
    try:
        image = build("FROM nbc-onbuild\n", context)
        assert said(image, "cat", "/from-base", "/ran") == "alpha\n1\n"
        assert not image.config["config"].get("OnBuild")
    finally:
        api.rm("nbc-onbuild", force=True)


def test_an_onbuild_takes_files_from_elsewhere() -> None:
    """Dockerfile reference, «ONBUILD»: a stage of the Dockerfile that has the base, an image, or a context of its build."""
    lines = [
        "COPY --from=made /x /y",
        "COPY --from=mini /etc/passwd /p",
        "RUN --mount=from=more,target=/m cat /m/z > /w",
    ]
    begin = "FROM mini\n" + "".join(f"ONBUILD {line}\n" for line in lines)
    after = "FROM mini AS made\nRUN echo made > /x\n"
    more = {"more": {"z": "more\n"}}
    build(begin, tag=["nbc-onbuild"])
    try:
        image = build(f"{after}FROM nbc-onbuild\n", build_context=more)
        assert said(image, "cat", "/y", "/w") == "made\nmore\n"
        image = build(f"{after}{begin.replace('FROM mini', 'FROM mini AS base')}FROM base\n", build_context=more)
        assert said(image, "cat", "/y", "/w") == "made\nmore\n"
        with pytest.raises(BuildError, match=r"Dockerfile:1: FROM: .*made"):
            build("FROM nbc-onbuild\n", build_context=more)
    finally:
        api.rm("nbc-onbuild", force=True)


def test_a_failing_command_shows_its_line_and_what_it_wrote(context: Path, engine: Engine) -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM mini\nRUN echo good > /good\nRUN echo said; echo wrong >&2; exit 3\n", context)
    error = caught.value
    assert "Dockerfile:3: RUN failed with exit status 3" in error.message
    assert "  said\n  wrong" in error.message
    assert error.details["exit_code"] == 3
    assert "container run -it --rm failed-build" in error.hint
    try:
        assert said(api.inspect("failed-build") and Image(engine, *_found(engine)), "cat", "/good") == "good\n"
    finally:
        api.rm("failed-build")


def _found(engine: Engine) -> tuple[str, str, int]:
    from nbcontainers.image import store

    image = store.resolve(engine, "failed-build")
    return image.digest, image.reference, image.manifest_size


@pytest.mark.parametrize(
    "text, words",
    [
        ("FROM mini\nCOPY alpah /x\n", ["Dockerfile:2", "'alpah' is not there"]),
        ("FROM mini\nCOPY --from=nowhere a /x\n", ["Dockerfile:2: COPY", "nowhere"]),
        ("FROM nbc-no-such-image\n", ["Dockerfile:1", "nbc-no-such-image"]),
        ("FROM mini\nRUN --mount=type=secret,id=s,required cat /run/secrets/s\n", ["Dockerfile:2", "secret s", "--secret id=s"]),
        ("FROM mini\nUSER nobody-here\nRUN true\n", ["Dockerfile:3", "nobody-here"]),
        ("FROM mini\nCOPY --chown=nobody-here a /x\n", ["Dockerfile:2", "nobody-here"]),
        ("FROM mini\nCOPY --chown=99999999999 a /x\n", ["Dockerfile:2", "99999999999 is above the largest"]),
        ("FROM mini\nCOPY d /bin/sh\n", ["Dockerfile:2", "/bin/sh"]),
        ("FROM mini\nCOPY a /etc/passwd/x\n", ["Dockerfile:2", "/etc/passwd cannot be a folder", "choose another path"]),
        ("FROM mini\nWORKDIR /etc/passwd\n", ["Dockerfile:2", "/etc/passwd cannot be a folder"]),
        (f"FROM mini\nADD --checksum=sha256:{'0' * 64} a /x\n", ["Dockerfile:2", "--checksum is for one URL or repository"]),
        ('FROM mini\nRUN ["no-such-program"]\n', ["Dockerfile:2", "no-such-program"]),
        ("FROM mini\nRUN --mount=type=bind,source=gone,target=/x true\n", ["Dockerfile:2", "gone"]),
        ("FROM mini\nADD https://127.0.0.1:1/x /x\n", ["Dockerfile:2", "cannot be fetched"]),
        ("FROM mini\nADD file:///nowhere.git /x\n", ["Dockerfile:2", "the repository file:///nowhere.git cannot be fetched"]),
        ("FROM mini\nRUN --security=insecure true\n", ["Dockerfile:2", "--allow security.insecure"]),
        ("FROM mini\nRUN --network=host true\n", ["Dockerfile:2", "--allow network.host"]),
        ("FROM mini\nRUN --mount=type=ssh,required true\n", ["Dockerfile:2", "--ssh default"]),
    ],
)  # fmt: skip
def test_what_cannot_be_done_names_its_line(text: str, words: list[str], context: Path, engine: Engine) -> None:
    before = {one.digest for one in images(engine)}
    with pytest.raises(BuildError) as caught:
        build(text, context)
    for word in words:
        assert word in str(caught.value)
    assert {one.digest for one in images(engine)} == before


def images(engine: Engine) -> list[Image]:
    from nbcontainers.image import store

    return store.images(engine)


def test_a_program_for_another_machine_is_told() -> None:
    text = 'FROM scratch\nCOPY --chmod=755 <<E /x\n\\0\nE\nRUN ["/x"]\n'
    with pytest.raises(BuildError, match=r"Dockerfile:5: RUN: /x: exec format error\n") as caught:
        build(text)
    assert "a script needs a first line" in caught.value.hint
    with pytest.raises(BuildError, match=r"the stage is for linux/s390x, and this machine is linux/") as caught:
        build(text, platform="linux/s390x")
    assert "qemu-user-static" in caught.value.hint


def test_nothing_is_there_to_be_taken_from_an_empty_stage() -> None:
    """COPY --from=empty was an IndexError of its helper process; of BuildKit it is what it says."""
    begin = "FROM scratch AS empty\nFROM mini\n"
    image = build(f"{begin}COPY --from=empty / /got/\nRUN --mount=from=empty,target=/seen ls -A /seen /got > /list\n")
    assert said(image, "cat", "/list") == "/got:\n\n/seen:\n"
    image = build("FROM mini\nRUN --mount=from=scratch,target=/s,rw touch /s/x && ls /s > /list\n")
    assert said(image, "cat", "/list") == "x\n"
    with pytest.raises(BuildError, match=r"Dockerfile:3: COPY: '/gone' is not there"):
        build(f"{begin}COPY --from=empty /gone /\n")


def test_an_id_file_is_looked_at_before_the_build(context: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"--iidfile .* cannot be written"):
        build("FROM mini\nRUN false\n", context, iidfile=str(tmp_path / "none/id"))
    image = build("FROM mini\n", context, iidfile=str(tmp_path / "id"))
    assert (tmp_path / "id").read_text() == image.id


def test_paths_that_cannot_be(context: Path, tmp_path: Path) -> None:
    for files in ({"a": "x", "a/b": "y"}, {"a/b": "y", "a": "x"}):
        with pytest.raises(BuildError, match="cannot be a file"):
            build("FROM mini\nCOPY . /x\n", files)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match=r"--output .*file/x: Not a directory"):
        build("FROM mini\n", context, output=[str(tmp_path / "file/x")])


def test_bad_options(context: Path) -> None:
    for options in ({"secret": ["x"]}, {"tag": ["UPPER CASE"]}, {"target": "none"}, {"build_context": ["x"]}):
        with pytest.raises((InvalidArgument, BuildError)):
            build("FROM mini\nRUN true\n", context, **options)
    with pytest.raises(InvalidArgument):
        build("FROM mini\nCOPY . /\n", context / "nowhere")


def test_a_failure_ends_the_other_stages() -> None:
    text = "FROM mini AS a\nRUN sleep 60\nFROM mini AS b\nRUN sleep 0.3; false\nFROM mini\nCOPY --from=a / /\nCOPY --from=b / /\n"
    begun = time.monotonic()
    with pytest.raises(BuildError, match="Dockerfile:4"):
        build(text)
    assert time.monotonic() - begun < 10
    api.rm("failed-build")


def test_output_drives_no_terminal() -> None:
    with pytest.raises(BuildError) as caught:
        build("FROM mini\nRUN printf '\\033[2Jcleared'; false\n")
    assert "\x1b" not in str(caught.value)
    assert "cleared" in str(caught.value)
    api.rm("failed-build")


def test_an_interrupt_leaves_nothing() -> None:
    timer = threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        build("FROM mini\nRUN sleep 60\n")


def test_a_killed_build_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM mini\nRUN touch /x; echo begun; sleep 60\n")
    command = [sys.executable, "-m", "nbcontainers", "build", "--network", "none", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr
    while b"| begun" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stderr.close()
    deadline = time.monotonic() + 20
    while any(engine.run.glob("[0-9a-f]*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    rows = nbcontainers_prune()
    assert any(row["what"] == "build" for row in rows)
    assert list((engine.cache / "build/work").glob("*")) == []


def nbcontainers_prune() -> list[dict[str, Any]]:
    from nbcontainers.system import api as system

    return list(system.prune())


def test_the_command_line(context: Path, cli: Any) -> None:
    (context / "Dockerfile").write_text("from mini\nRUN echo hello\n")
    done = cli("build", "-t", "nbc-cli", "--network", "none", "--iidfile", str(context / "id"), str(context))
    assert done.returncode == 0, done.stderr
    assert "2 | hello" in done.stderr
    assert "built nbc-cli" in done.stderr
    assert (context / "id").read_text().startswith("sha256:")
    assert cli("builder", "ls").stdout.count("RUN echo hello") == 1
    bad = cli("build", str(context), "--target", "x")
    assert bad.returncode == 1
    assert "there is no stage 'x'" in bad.stderr
    cli("image", "rm", "nbc-cli")


def test_add_from_a_url() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("inside"), io.BytesIO())
    with served({"/t.tgz": packed.getvalue()}) as server:
        image = build(
            f"FROM mini\nADD {server}/t.tgz /x\nADD --unpack=true {server}/t.tgz /u\nADD {server}/t.tgz /d/\n"
        )
        assert said(image, "stat", "-c", "%a %u %Y", "/x") == "600 0 1000000000\n"
        assert said(image, "find", "/u", "/d", "-type", "f").split() == ["/u/inside", "/d/t.tgz"]
        with pytest.raises(BuildError, match=r"Dockerfile:2.*is sha256:"):
            build(f"FROM mini\nADD --checksum=sha256:{'0' * 64} {server}/t.tgz /x\n")
        with pytest.raises(BuildError, match="cannot be fetched: the server says 404 Not Found"):
            build(f"FROM mini\nADD {server}/other /x\n")


def test_outputs(context: Path, tmp_path: Path) -> None:
    text = "FROM mini AS one\nRUN mkdir /o; echo 1 > /o/x; ln -s /o/x /o/link; chown -R 5 /o\nFROM scratch\nCOPY --from=one /o /o\n"
    image = build(
        text, output=[str(tmp_path / "files"), f"type=tar,dest={tmp_path}/f.tar", f"type=oci,dest={tmp_path}/oci.tar"]
    )
    assert (tmp_path / "files/o/x").read_text() == "1\n"
    assert os.readlink(tmp_path / "files/o/link") == "/o/x"
    assert (tmp_path / "files/o/x").stat().st_uid == (os.geteuid() or 0)
    with tarfile.open(tmp_path / "f.tar") as archive:
        assert "o/x" in [name.removeprefix("./") for name in archive.getnames()]
    assert api.load(str(tmp_path / "oci.tar"))[0].digest == image.digest
    (tmp_path / "files/mine").touch()
    build(text.replace("echo 1", "echo 2"), output=[str(tmp_path / "files")])
    assert (tmp_path / "files/o/x").read_text() == "2\n", "as with Docker a folder may be there, and gets the files"
    assert (tmp_path / "files/mine").exists()
    with pytest.raises(InvalidArgument, match="not known"):
        build(text, output=["type=floppy,dest=a"])


def test_outputs_by_a_name(engine: Engine, tmp_path: Path) -> None:
    text = "FROM mini\nRUN true\n"
    from nbcontainers.image import store

    image = build(text, output=["type=image,name=nbc-named:1", f"type=docker,name=nbc-other,dest={tmp_path}/d.tar"])
    assert store.resolve(engine, "nbc-named:1").digest == image.digest
    api.rm("nbc-named:1", "nbc-other")
    assert [one.reference for one in api.load(str(tmp_path / "d.tar"))] == ["localhost/nbc-other:latest"]
    api.rm("nbc-other")
    build(text, output=[f"type=oci,dest={tmp_path}/layout,tar=false"])
    assert (tmp_path / "layout/index.json").is_file()


def test_an_output_is_pushed(tmp_path: Path) -> None:
    from tests.registries import docker_registry

    with docker_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/team/built:1"
        image = build("FROM mini\nRUN true\n", output=[f"type=registry,name={name}"])
        api.rm(name)
        assert [one.digest for one in api.pull(name)] == [image.digest]
        api.rm(name)


def test_a_stage_is_built_anew_whatever_the_case_of_its_name() -> None:
    text = "FROM mini AS Maker\nRUN cat /proc/sys/kernel/random/uuid > /x\nFROM mini\nCOPY --from=maker /x /x\n"
    first, again = build(text), build(text)
    assert again.id == first.id
    assert build(text, no_cache_filter=["MAKER,1"]).id != first.id
    with pytest.raises(BuildError, match=r"no stage 'makr' \(did you mean maker\?\)"):
        build(text, no_cache_filter=["makr"])


def test_an_ssh_agent_is_reached(tmp_path: Path) -> None:
    """The socket has its own mode and owner; `nc` of busybox knows no such sockets, so only a look at it is had."""
    import socket

    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        text = (
            "FROM mini\nRUN --mount=type=ssh --mount=type=ssh,id=two,mode=640,uid=3,gid=4,target=/s test -S $SSH_AUTH_SOCK && "
            "stat -c '%n %a %u %g' $SSH_AUTH_SOCK /s > /where\n"
        )
        image = build(text, ssh=[f"default={tmp_path}/agent", f"two={tmp_path}/agent"])
    assert said(image, "cat", "/where") == "/run/buildkit/ssh_agent.0 600 0 0\n/s 640 3 4\n"
    with pytest.raises(InvalidArgument, match="there is no agent"):
        build("FROM mini\n", ssh=[f"default={tmp_path}"])


def test_equal_steps_are_done_once() -> None:
    text = (
        "FROM mini AS a\nRUN sleep 0.3; cat /proc/sys/kernel/random/uuid > /x\nFROM mini AS b\n"
        "RUN sleep 0.3; cat /proc/sys/kernel/random/uuid > /x\nFROM mini\nCOPY --from=a /x /a\nCOPY --from=b /x /b\nRUN cmp /a /b\n"
    )
    events: Events = []
    build(text, progress=events.append, no_cache=True)
    assert sorted(states(events)) == ["cached", "done", "done", "done", "done"]


def test_what_changes_while_it_is_copied_is_not_kept_for_what_it_was(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbcontainers.builder.stage import Stage

    copy = Stage._copy

    def changed_meanwhile(self: Stage, *given: Any, **more: Any) -> Any:
        (context / "a").write_text("new\n")
        return copy(self, *given, **more)

    text = "FROM mini\nCOPY a /a\nRUN cat /a > /b\n"
    monkeypatch.setattr(Stage, "_copy", changed_meanwhile)
    assert said(build(text, context), "cat", "/b") == "new\n"
    monkeypatch.undo()
    (context / "a").write_text("alpha\n")
    assert said(build(text, context), "cat", "/b") == "alpha\n"


def test_squash(context: Path) -> None:
    build("FROM mini\nRUN mkdir /b /c; echo 1 > /b/1; echo 2 > /b/2; echo 3 > /c/3; ln -s b /l\n", tag=["nbc-squash"])
    text = (
        "FROM nbc-squash\nRUN echo x > /x; rm /b/1; rm -r /c; mkdir /c; echo 4 > /c/4\nCOPY a d /y/\n"
        "RUN rm /x /y/a; chmod 700 /b; rm /l; mkdir /l; echo 5 > /l/5; ln /c/4 /c/5; chown 3:4 /y/b\n"
    )
    try:
        image, plain = build(text, context, squash=True), build(text, context)
        assert len(plain.layers) == len(image.layers) + 2
        files = "find b c l y -type f -exec stat -c '%n %h' {} + | sort; cat b/* c/* l/* y/b"
        look = ("sh", "-c", f"cd /; find b c l y -exec stat -c '%n %A %u %g' {{}} + | sort; ls /; {files}")
        assert said(image, *look) == said(plain, *look)
        assert image.config["config"] == plain.config["config"]
        assert sum(not one.get("empty_layer") for one in image.config["history"]) == len(image.layers)
        assert build(text, context, squash=True).digest == image.digest
        api.verify(image.id)
    finally:
        api.rm("nbc-squash", force=True)


def test_words_of_podman(context: Path) -> None:
    (context / "Containerfile").write_text("FROM mini\nCOPY . /c/\nRUN --mount=source=a,target=/t,z cat /t > /u\n")
    (context / ".containerignore").write_text("d\n")
    image = api.build(str(context), network="none")
    assert sorted(said(image, "sh", "-c", "ls -A /c; cat /u").split()) == [
        ".containerignore",
        "Containerfile",
        "a",
        "alpha",
    ]


def test_what_is_allowed(context: Path) -> None:
    text = "FROM mini\nRUN --security=insecure grep CapEff /proc/self/status > /caps\nRUN --network=host ls /sys/class/net > /net\n"
    image = build(text, allow=["security.insecure", "network.host"])
    assert said(image, "cat", "/caps") != build_caps()
    assert "lo" in said(image, "cat", "/net")
    with pytest.raises(InvalidArgument):
        build(text, allow=["everything"])


def build_caps() -> str:
    return said(build("FROM mini\nRUN grep CapEff /proc/self/status > /caps\n"), "cat", "/caps")


def test_a_build_argument_that_nobody_uses_is_told() -> None:
    events: Events = []
    build("FROM mini\nARG A\n", build_arg={"A": "1", "B": "2", "http_proxy": "x"}, progress=events.append)
    assert [one["message"] for one in events if one["event"] == "warning"] == ["--build-arg B is used by no ARG"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """They get to the command as they are; the config has the replacement character, as Docker's."""
    (tmp_path / "Dockerfile").write_bytes(
        b"FROM mini\nENV a=\xff\nLABEL \xfe=x\nRUN printf %s '\xff' > /x; cmp /x /x\n"
    )
    image = api.build(str(tmp_path), network="none")
    assert "a=\ufffd" in image.config["config"]["Env"]
    output: list[bytes] = []
    containers.run(image.id, "cat", "/x", rm=True, network="none", stdout=output.append)
    assert b"".join(output) == b"\xff"


def test_results_on_disk(context: Path, engine: Engine) -> None:
    build("FROM mini\nCOPY a /a\n", context)
    [(path, one)] = list(kept.every(engine))
    assert json.loads(path.read_text()) == one
    assert (one["what"], one["entries"]) == ("COPY a /a", 1)


def test_the_checks_know_the_variables_of_the_base(context: Path) -> None:
    events: Events = []
    build("FROM mini\nENV A=$PAHT:/x B=$PATH\nCOPY $nothing /all/\n", context, progress=events.append)
    assert [(one["message"], one["lines"]) for one in events if one["event"] == "warning"] == [
        ("Usage of undefined variable '$PAHT' (did you mean $PATH?)", [2, 2]),
        ("Usage of undefined variable '$nothing'", [3, 3]),
    ]
