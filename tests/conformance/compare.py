"""Builds the corpus with a peer and compares: `python -m tests.conformance.compare docker|buildah [THEME…]` (as root).

For now the decision to take or refuse a case, and the config of the image, which we know without building. Prints every
difference that the corpus does not document; the exit status is 1 when there is one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbcontainers.dockerfile import dockerfile, stages, state, value, variables
from tests import peers
from tests.bench import programs
from tests.conformance import corpus
from tests.conformance.corpus import BASE, Case

PLATFORMS = value.platform_arguments("linux/amd64", "linux/amd64")
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
            command = [*client, "build", "-q", "--network=none", "-t", "t", *options(case, context)]
            done = run(command, {**os.environ, "DOCKER_BUILDKIT": "1"})
            if "docker daemon" in done.stderr:
                raise RuntimeError(f"{case}: the daemon is gone since this case or the one before: {done.stderr}")
            if done.returncode:
                return done.stderr.strip().splitlines()[-1], {}
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
        return "", {} if image.returncode else json.loads(image.stdout)["Docker"]["config"]

    yield build


def run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def expected(case: Case) -> state.Config:
    """The config we would give the image."""
    file = dockerfile.read(case.dockerfile)
    plan = stages.plan(file, target=case.target, build_args=case.build_args, platforms=PLATFORMS)
    ends: dict[int, state.State] = {}
    for planned in plan.stages:
        scope = variables.Scope(plan.globals, case.build_args, escape=file.escape)
        triggers = []
        if planned.base.kind == stages.STAGE:
            before = ends[planned.base.stage]
            triggers = dockerfile.triggers(list(before.config.get("OnBuild") or []), planned.base.name)
            now = state.begin(before.scope, before.config, before.author)
        else:
            now = state.begin(scope, None)
        for one in [*triggers, *planned.stage.instructions]:
            now = now.after(variables.of_instruction(one, now.scope, file.source)[0])
        ends[planned.stage.index] = now
    return ends[plan.target].config


def tidy(config: state.Config) -> dict[str, Any]:
    """What counts: without PATH's default, without the peer's own label, empty and absent the same."""
    found = {key: config.get(key) or None for key in KEYS}
    found["Env"] = [line for line in found["Env"] or [] if line != f"PATH={state.PATH}"]
    found["Labels"] = {key: text for key, text in (found["Labels"] or {}).items() if key != "io.buildah.version"}
    found["WorkingDir"] = found["WorkingDir"] or "/"
    return found


def differences(case: Case, build: Build, folder: Path) -> list[str]:
    context = Path(tempfile.mkdtemp(dir=folder))
    case.write(context)
    error, config = build(case, context)
    must_fail = bool(case.refuse or case.all("refuse-build"))
    if must_fail or error:
        return [] if must_fail and error else ["takes it" if must_fail else f"refuses it: {error}"]
    ours, theirs = tidy(expected(case)), tidy(config)
    return [f"{key}: ours {ours[key]}, theirs {theirs[key]}" for key in KEYS if ours[key] != theirs[key]]


def main(peer: str, *themes: str) -> int:
    folder = Path(tempfile.mkdtemp(prefix="nbc-corpus-", dir="/dev/shm"))
    cases = [one for one in corpus.load() if (not themes or one.theme in themes) and not one.lacks(peer)]
    found = 0
    try:
        with {"docker": docker, "buildah": buildah}[peer](folder) as build:
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
