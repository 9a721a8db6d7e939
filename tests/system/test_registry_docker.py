"""Against Debian's docker-registry: plain, with users, and by TLS with a CA of its own; skopeo looks at what we did."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import NotFound, RegistryError
from nbcontainers.oci.image import MANIFEST, descriptor
from nbcontainers.oci.reference import parse
from nbcontainers.registry import upload
from nbcontainers.registry.credentials import Credentials, find
from nbcontainers.registry.repository import Repository
from nbcontainers.registry.settings import Mirror, Registry, Settings
from tests import peers
from tests.registries import PASSWORD, USER, DockerRegistry, digest_of, fill, image_of
from tests.system.kernel import Kernel

LAYERS = [random.Random(seed).randbytes(size) for seed, size in enumerate((1000, 3_000_000, 10))]
ME = Credentials(USER, PASSWORD)


@pytest.fixture(params=["docker_registry", "docker_registry_users", "docker_registry_tls"])
def registry(request: pytest.FixtureRequest, nobody: Path) -> DockerRegistry:
    """Each of the three."""
    found: DockerRegistry = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def credentials(registry: DockerRegistry) -> Credentials | None:
    return ME if registry.users else None


def repository(registry: DockerRegistry, name: str, **options: Any) -> Repository:
    options.setdefault("credentials", ME if registry.users else None)
    return Repository(parse(f"{registry.host}/{name}"), registry.settings(), **options)


def test_pull(registry: DockerRegistry) -> None:
    content = fill(registry, "pull/me:1", LAYERS)
    with repository(registry, "pull/me:1") as one:
        head = one.head("1")
        assert head == descriptor(MANIFEST, digest_of(content), len(content))
        assert one.manifest("1") == one.manifest(head["digest"], head) == (head, content)
        assert one.head("2") is None
        assert one.head("sha256:" + "0" * 64) is None
        with pytest.raises(RegistryError, match="pull/me:2 does not exist: manifest unknown") as caught:
            one.manifest("2")
        assert caught.value.status == 404
        for layer, expected in zip(json.loads(content)["layers"], LAYERS, strict=True):
            for offset in (0, 5, layer["size"] - 1, layer["size"]):
                with one.open_blob(layer, offset) as blob:
                    assert blob.read() == expected[offset:]
        with pytest.raises(RegistryError, match="blob sha256:0000"):
            one.open_blob(descriptor("x", "sha256:" + "0" * 64, 5))
        with pytest.raises(RegistryError, match="whose descriptor says 3"):
            one.open_blob({**json.loads(content)["layers"][0], "size": 3})
        assert list(one.tags()) == ["1"]
    with repository(registry, "no/such") as one, pytest.raises(RegistryError, match="not known to registry"):
        list(one.tags())


def test_push(registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", 1 << 20)
    *blobs, (digest, manifest) = image_of([*LAYERS, b"", os.urandom(20)]).items()
    with repository(registry, "push/me:1", push=True) as one:
        for blob, content in blobs:
            wanted = descriptor("x", blob, len(content))
            assert not one.has_blob(blob)
            with tempfile.TemporaryFile() as file:
                file.write(content)
                one.upload_blob(wanted, file)
            assert one.has_blob(blob)
        assert one.put_manifest(manifest, MANIFEST, "1") == digest
        assert one.put_manifest(manifest, MANIFEST, digest) == digest
    with repository(registry, "push/too:1", push=True) as one:
        assert all(one.mount_blob(blob, "push/me") for blob, _ in blobs)
        assert not one.mount_blob("sha256:" + "0" * 64, "push/me")
        assert one.put_manifest(manifest, MANIFEST, "v2") == digest
        assert list(one.tags()) == ["v2"]
        with pytest.raises(RegistryError, match="answers 400 to") as caught:
            one.put_manifest(manifest.replace(b"sha256:", b"sha256:0000")[: len(manifest)], MANIFEST, "bad")
        assert caught.value.retry is False
    assert skopeo(registry, "push/too:v2")["Digest"] == digest


def test_push_in_chunks(registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a broken connection: from where the registry is."""
    monkeypatch.setattr(upload, "CHUNK", 1 << 20)
    content = random.Random(9).randbytes(5_000_000) + os.urandom(8)
    wanted = descriptor("x", digest_of(content), len(content))
    with repository(registry, "push/chunks", push=True) as one, tempfile.TemporaryFile() as file:
        file.write(content)
        session = upload.begin(one.origin)
        assert session
        session = upload._patch(one.origin, session, file, 0, 1_234_567, lambda sent: None)
        assert upload._status(one.origin, session)[1] == 1_234_567  # type: ignore[index]
        upload._go_on(one.origin, session, wanted, file, lambda sent: None, RegistryError("x"))
        with one.open_blob(wanted) as blob:
            assert hashlib.sha256(blob.read()).hexdigest() == wanted["digest"][7:]
        session = upload.begin(one.origin)
        assert session
        upload.cancel(one.origin, session)
        assert upload._status(one.origin, session) is None


def test_a_blob_that_is_not_what_it_says(registry: DockerRegistry) -> None:
    content = os.urandom(1000)
    wanted = descriptor("x", digest_of(content[::-1]), len(content))
    with repository(registry, "push/lie", push=True) as one, tempfile.TemporaryFile() as file:
        file.write(content)
        with pytest.raises(RegistryError, match="digest did not match"):
            one.upload_blob(wanted, file)
        assert not one.has_blob(wanted["digest"])


def test_threads_share_a_repository(registry: DockerRegistry) -> None:
    content = fill(registry, "threads/me:1", LAYERS)
    layers = json.loads(content)["layers"] * 4
    got: list[str] = []
    with repository(registry, "threads/me:1") as one:

        def read(layer: Any) -> None:
            with one.open_blob(layer) as blob:
                got.append(digest_of(blob.read()))

        threads = [threading.Thread(target=read, args=(layer,)) for layer in layers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got) == sorted(layer["digest"] for layer in layers)


def skopeo(registry: DockerRegistry, name: str) -> Any:
    """What `skopeo inspect` says of an image there."""
    program = peers.program("skopeo")
    words = ["--tls-verify=false"] if not registry.ca else ["--cert-dir", str(Path(registry.ca).parent / "certs")]
    if registry.ca:
        folder = Path(words[1])
        folder.mkdir(exist_ok=True)
        (folder / "ca.crt").write_bytes(Path(registry.ca).read_bytes())
    login = ["--creds", f"{USER}:{PASSWORD}"] if registry.users else ["--no-creds"]
    done = subprocess.run(
        [program, "inspect", *words, *login, f"docker://{registry.host}/{name}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Users


def test_without_a_login(docker_registry_users: DockerRegistry, nobody: Path) -> None:
    fill(docker_registry_users, "private/one:1", [b"x"])
    with repository(docker_registry_users, "private/one:1", credentials=None) as one:
        with pytest.raises(RegistryError) as caught:
            one.manifest("1")
    host = docker_registry_users.host
    assert f"{host} does not let us in without a login: {host}/private/one:1 does not exist" in caught.value.message
    assert caught.value.hint == f"%image login {host}"
    with repository(docker_registry_users, "private/one:1", credentials=Credentials(USER, "wrong")) as one:
        with pytest.raises(RegistryError, match="refuses user tester: a wrong password") as caught:
            one.manifest("1")
    assert "wrong" not in caught.value.hint


@pytest.fixture
def logged_out(docker_registry_users: DockerRegistry, nobody: Path) -> Iterator[DockerRegistry]:
    fill(docker_registry_users, "private/one:1", [b"x"])
    yield docker_registry_users
    assert find(docker_registry_users.host) is None


def test_login_and_logout_on_the_command_line(logged_out: DockerRegistry, nobody: Path, cli: Any) -> None:
    host = logged_out.host
    wrong = cli("image", "login", host, "-u", USER, "--password-stdin", input="tulip-7\n")
    assert wrong.returncode != 0
    assert f"{host} does not accept the password of 'tester'" in wrong.stderr
    assert "tulip-7" not in wrong.stdout + wrong.stderr
    done = cli("image", "login", host, "-u", USER, "--password-stdin", input=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    assert str(nobody / ".docker/config.json") in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    assert find(host) == ME
    with Repository(parse(f"{host}/private/one:1"), logged_out.settings()) as one:
        assert one.head("1")
    assert skopeo_with(nobody, host)["RepoTags"] == ["1"]
    out = cli("image", "logout", host)
    assert str(nobody / ".docker/config.json") in out.stdout
    again = cli("image", "logout", host)
    assert again.returncode != 0
    assert f"nobody is logged in at {host}" in again.stderr


def skopeo_with(home: Path, host: str) -> Any:
    """skopeo finds what our login kept; it looks in the session's folder first, which without one is the host's /run."""
    done = subprocess.run(
        [peers.program("skopeo"), "inspect", "--tls-verify=false", f"docker://{host}/private/one:1"],
        env={**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_login_and_logout_in_python(logged_out: DockerRegistry, nobody: Path) -> None:
    import nbcontainers

    place = nbcontainers.image.login(logged_out.host, username=USER, password=PASSWORD)
    assert place == str(nobody / ".docker/config.json")
    assert find(logged_out.host, "private/one") == ME
    assert nbcontainers.image.logout(all_=True) == [place]
    with pytest.raises(NotFound, match="nobody is logged in"):
        nbcontainers.image.logout(logged_out.host)


def test_what_skopeo_logged_in_to_is_ours_too(logged_out: DockerRegistry, nobody: Path) -> None:
    program = peers.program("skopeo")
    file = nobody / ".config/containers/auth.json"
    done = subprocess.run(
        [program, "login", "--tls-verify=false", "--authfile", str(file), "-u", USER, "--password-stdin", logged_out.host],
        input=PASSWORD, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert find(logged_out.host, "private/one") == ME
    from nbcontainers.registry import login

    assert login.logout(logged_out.host) == [str(file)]


# TLS


def test_the_ca_must_be_known(docker_registry_tls: DockerRegistry, nobody: Path) -> None:
    host = docker_registry_tls.host
    with Repository(parse(f"{host}/a/b:1"), Settings(), tls_verify=True) as one:
        with pytest.raises(RegistryError, match=r"certificate of localhost:\d+ is not trusted") as caught:
            one.head("1")
    assert f'write [registry."{host}"] and ca = ' in caught.value.hint
    with Repository(parse(f"{host}/a/b:1"), Settings(), tls_verify=False) as one:
        assert one.head("1") is None


def test_the_settings_file_names_the_ca(
    docker_registry_tls: DockerRegistry, nobody: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbcontainers.registry.settings import load

    file = nobody / "registries.toml"
    file.write_text(docker_registry_tls.toml())
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(file))
    with Repository(parse(f"{docker_registry_tls.host}/a/b:1"), load(engine), tls_verify=True) as one:
        assert one.head("1") is None


def test_a_mirror_of_another_kind(
    docker_registry: DockerRegistry, docker_registry_tls: DockerRegistry, nobody: Path
) -> None:
    """The registry itself has TLS, its mirror has not; what the mirror lacks comes from the registry."""
    first = fill(docker_registry, "hub/lib/x:1", LAYERS)
    second = fill(docker_registry_tls, "lib/x:2", LAYERS[:1])
    mirrors = (Mirror(f"{docker_registry.host}/hub"),)
    settings = Settings(registries=(Registry(docker_registry_tls.host, ca=docker_registry_tls.ca, mirrors=mirrors),))
    with Repository(parse(f"{docker_registry_tls.host}/lib/x"), settings) as one:
        assert one.manifest("1")[1] == first
        assert one.manifest("2")[1] == second
        assert list(one.tags()) == ["2"]


def test_a_notebook_asks_for_the_password_and_shows_it_nowhere(logged_out: DockerRegistry, nobody: Path) -> None:
    """Through the frontend's own prompt, as ipykernel has it."""
    kernel = Kernel()
    asked: list[Any] = []
    shown: list[Any] = []

    def answer(message: Any) -> None:
        asked.append(message["content"])
        kernel.client.input(PASSWORD if message["content"]["password"] else USER)

    try:
        reply = kernel.client.execute_interactive(
            f"out = %image login {logged_out.host}\nprint(out)\nout",
            allow_stdin=True, stdin_hook=answer, output_hook=shown.append, timeout=60,
        )  # fmt: skip
        refused = kernel.client.execute_interactive(
            f"%image login {logged_out.host} -u {USER}", allow_stdin=False, output_hook=shown.append, timeout=60
        )  # as nbconvert and nbclient run cells
    finally:
        kernel.close()
    assert reply["content"]["status"] == "ok", reply["content"]
    assert [(one["prompt"], one["password"]) for one in asked] == [("User name: ", False), ("Password: ", True)]
    assert str(nobody / ".docker/config.json") in str(shown)
    assert PASSWORD not in str(shown)
    assert "login needs a user and a password" in refused["content"]["evalue"]
    assert find(logged_out.host) == ME
    from nbcontainers.registry import login

    login.logout(logged_out.host)
