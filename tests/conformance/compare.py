"""Builds the corpus with a peer and compares: `python -m tests.conformance.compare docker|buildah [THEME…]` (as root).

Compared are the decision to take or refuse a case, the config of the image, and every file of it: kind, mode, owner, link
and bytes, and the times of files that came from the context. Prints every difference that the corpus does not document;
the exit status is 1 when there is one. The peer's image is saved by the peer, loaded into our store, and both are
exported from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbcontainers.dockerfile import state
from tests import peers
from tests.bench import programs
from tests.conformance import corpus
from tests.conformance.corpus import BASE, Case

STUBS = ("etc/hostname", "etc/hosts", "etc/resolv.conf", "run", "proc", "sys", "dev")
"""What other builders leave where they mounted something."""
OLD, NEW = 1_000_000_000, 1_500_000_000
"""When the files of a context are from, and what is later was made by the build."""
KEYS = "Env Cmd Entrypoint Labels User WorkingDir ExposedPorts Volumes StopSignal Healthcheck OnBuild Shell".split()
Build = Callable[[Case, Path], tuple[str, dict[str, Any]]]


def options(case: Case, context: Path) -> list[str]:
    """The flags that docker and buildah share."""
    file = (case.all("file") or ["Dockerfile"])[0]
    given = [word for text in case.all("build-arg") for word in ("--build-arg", text)]
    return ["-f", f"{context}/{file}", *given, *(["--target", case.target] if case.target else []), str(context)]


@contextlib.contextmanager
def docker(folder: Path) -> Iterator[Build]:
    """Docker's own BuildKit, by a daemon of ours."""
    with programs.docker(folder / "docker", peers.busybox_archive(folder / "base.tar")) as client:
        subprocess.run([*client, "tag", "bench", BASE], check=True)

        def build(case: Case, context: Path) -> tuple[str, dict[str, Any]]:
            command = [*client, "build", "-q", "--no-cache", "--network=none", "-t", "t", *options(case, context)]
            done = run(command, {**os.environ, "DOCKER_BUILDKIT": "1"})
            if "docker daemon" in done.stderr:
                raise RuntimeError(f"{case}: the daemon is gone since this case or the one before: {done.stderr}")
            if done.returncode:
                return done.stderr.strip().splitlines()[-1], {}
            subprocess.run([*client, "save", "-o", f"{folder}/peer.tar", "t"], check=True, stdout=subprocess.DEVNULL)
            return "", json.loads(run([*client, "inspect", "t"]).stdout)[0]["Config"]

        yield build


@contextlib.contextmanager
def buildah(folder: Path) -> Iterator[Build]:
    """Buildah with a store of its own, without a runtime (chroot)."""
    store = ["--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    program = [*peers.isolated(peers.program("buildah")), *store]
    archive = peers.busybox_archive(folder / "base.tar")
    base = run([*program, "from", "scratch"]).stdout.strip()
    for command in (["add", base, str(archive), "/"], ["commit", "-q", base, BASE]):
        subprocess.run([*program, *command], check=True, stdout=subprocess.DEVNULL)

    def build(case: Case, context: Path) -> tuple[str, dict[str, Any]]:
        form = ["bud", "--isolation", "chroot", "--format", "docker", "-q", "-t", "t"]
        done = run([*program, *form, *options(case, context)])
        if done.returncode:
            return done.stderr.strip().splitlines()[-1], {}
        image = run([*program, "inspect", "--type", "image", done.stdout.strip() or "nothing"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{folder}/peer.tar")
        run([*program, "push", "-q", done.stdout.strip() or "t", f"docker-archive:{folder}/peer.tar:t"])
        return "", {} if image.returncode else json.loads(image.stdout)["Docker"]["config"]

    yield build


def run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def ours(case: Case, context: Path) -> Any:
    """Our image."""
    from nbcontainers.image import api

    file = (case.all("file") or ["Dockerfile"])[0]
    return api.build(
        str(context), file=f"{context}/{file}", tag=["ours"], target=case.target, build_arg=case.build_args, network="none",
        allow=["network.host", "security.insecure"],
    )  # fmt: skip


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[None]:
    """Our own store, with the base in it."""
    from nbcontainers.image import api
    from nbcontainers.launcher import client

    os.environ |= {"NBCONTAINERS_ROOT": f"{folder}/ours", "NBCONTAINERS_RUN": f"{folder}/ours-run"}
    api.import_(str(peers.busybox_archive(folder / "ours.tar")), BASE)
    try:
        yield
    finally:
        client.close()


def listing(image: Any, folder: Path) -> dict[str, tuple[Any, ...]]:
    """Every file of an image: kind, mode, owner, link, bytes, and the seconds of its time."""
    from nbcontainers.image import api

    path = folder / "export.tar"
    api.export(image.id, output=str(path))
    found = {}
    with tarfile.open(path) as archive:
        for one in archive:
            data = archive.extractfile(one) if one.isfile() else None
            digest = hashlib.sha256(data.read()).hexdigest()[:12] if data else ""
            name = one.name.strip("/").removeprefix("./")
            kind = tarfile.REGTYPE if one.islnk() else one.type
            found[name] = (
                kind.decode(),
                oct(one.mode),
                one.uid,
                one.gid,
                one.linkname if one.issym() else "",
                digest,
                int(one.mtime),
            )
    path.unlink()
    return found


def file_differences(mine: dict[str, tuple[Any, ...]], theirs: dict[str, tuple[Any, ...]], *, times: bool) -> list[str]:
    """What is not the same, but for the root folder and, without `times`, times; hard links are as good as copies."""
    found = []
    for name in sorted((mine.keys() | theirs.keys()) - {"", "."}):
        one, other = mine.get(name), theirs.get(name)
        if one is None and name in STUBS:
            continue
        if one is None or other is None:
            found.append(f"{name}: {'only theirs' if one is None else 'only ours'} {one or other}")
            continue
        shown = slice(None) if times and one[0] == "0" and other[-1] < NEW else slice(-1)
        if one[shown] != other[shown]:
            found.append(f"{name}: ours {one[shown]}, theirs {other[shown]}")
    return found


def tidy(config: state.Config) -> dict[str, Any]:
    """What counts: without PATH's default, without the peer's own label, empty and absent the same."""
    found = {key: config.get(key) or None for key in KEYS}
    found["Env"] = [line for line in found["Env"] or [] if line != f"PATH={state.PATH}"]
    found["Labels"] = {key: text for key, text in (found["Labels"] or {}).items() if key != "io.buildah.version"}
    found["WorkingDir"] = found["WorkingDir"] or "/"
    return found


def differences(case: Case, build: Build, folder: Path) -> list[str]:
    from nbcontainers.errors import Error
    from nbcontainers.image import api

    context = Path(tempfile.mkdtemp(dir=folder))
    case.write(context)
    for path in sorted(context.rglob("*"), reverse=True):
        os.utime(path, (OLD, OLD), follow_symlinks=False)
    error, config = build(case, context)
    refused = ""
    try:
        image = ours(case, context)
    except Error as problem:
        refused = str(problem)
    must_fail = bool(case.refuse or case.all("refuse-build"))
    if must_fail or error or refused:
        found = [] if bool(must_fail) == bool(error) else ["they take it" if must_fail else f"they refuse it: {error}"]
        return found + (
            [] if must_fail == bool(refused) else ["we take it" if must_fail else f"we refuse it: {refused}"]
        )
    mine, theirs = tidy(image.config.get("config") or {}), tidy(config)
    found = [f"{key}: ours {mine[key]}, theirs {theirs[key]}" for key in KEYS if mine[key] != theirs[key]]
    (other,) = api.load(f"{folder}/peer.tar")
    theirs_files = listing(other, folder)
    mine_files = listing(image, folder)
    for path in re.findall(r"(?:target|dst|destination)=/?([^,\s\"]+)", case.dockerfile):
        for name in (path, os.path.dirname(path)):  # docker 20.10 leaves mount points behind, later ones do not
            if name not in mine_files:
                theirs_files.pop(name, None)
    return found + file_differences(mine_files, theirs_files, times=True)


def main(peer: str, *themes: str) -> int:
    folder = Path(tempfile.mkdtemp(prefix="nbc-corpus-", dir="/dev/shm"))
    cases = [one for one in corpus.load() if (not themes or one.theme in themes) and not one.lacks(peer)]
    found = 0
    try:
        with engine(folder), {"docker": docker, "buildah": buildah}[peer](folder) as build:
            for case in cases:
                documented = any(text.startswith(f"{peer} ") for text in case.all("differs"))
                for text in [] if documented else differences(case, build, folder):
                    found += 1
                    print(f"{case}: {text}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        peers.remove_parents()
    print(f"{len(cases)} cases, {found} differences")
    return int(found > 0)


if __name__ == "__main__":
    if "apart" not in sys.argv[1:]:  # mounts of a daemon that died go with the mount namespace
        again = [sys.executable, "-m", "tests.conformance.compare", *sys.argv[1:], "apart"]
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", *again])
    sys.exit(main(*(word for word in sys.argv[1:] if word != "apart")))
