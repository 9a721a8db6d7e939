"""Where credentials come from, and where login puts them. No password in any word that is shown."""

from __future__ import annotations

import base64
import getpass
import io
import json
import os
import pickle
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import InvalidArgument, NotFound, RegistryError
from nbcontainers.registry import credentials, helper, login
from nbcontainers.registry.credentials import Credentials, find
from nbcontainers.registry.settings import Settings
from tests.registries import Liar, Said

SECRET = "tulip-7"
HUB_KEY = "https://index.docker.io/v1/"


def auth(user: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def put(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def user(registry: str, repository: str = "") -> str | None:
    found = find(registry, repository)
    return found.username if found else None


@pytest.mark.parametrize(
    "auths, registry, repository, expected",
    [
        ({"quay.io": auth("me")}, "quay.io", "a/b", "me"),
        ({"quay.io": auth("me")}, "quay.io:443", "a/b", None),
        ({"quay.io:443": auth("me")}, "quay.io:443", "a/b", "me"),
        ({"https://quay.io": auth("me")}, "quay.io", "a/b", "me"),
        ({"https://quay.io/v2/": auth("me")}, "quay.io", "a/b", "me"),
        ({"quay.io": auth("all"), "quay.io/a": auth("team"), "quay.io/a/b": auth("one")}, "quay.io", "a/b", "one"),
        ({"quay.io": auth("all"), "quay.io/a": auth("team"), "quay.io/a/b": auth("one")}, "quay.io", "a/c", "team"),
        ({"quay.io": auth("all"), "quay.io/a": auth("team")}, "quay.io", "ab/c", "all"),
        ({"quay.io/a": auth("team")}, "quay.io", "b", None),
        ({HUB_KEY: auth("hub")}, "docker.io", "library/nginx", "hub"),
        ({"docker.io": auth("hub")}, "docker.io", "library/nginx", "hub"),
        ({"index.docker.io": auth("hub")}, "docker.io", "library/nginx", "hub"),
        ({"https://registry-1.docker.io/v2/": auth("hub")}, "docker.io", "x/y", "hub"),
        ({HUB_KEY: auth("hub"), "docker.io/x": auth("org")}, "docker.io", "x/y", "org"),
        ({"quay.io": {"username": "plain", "password": SECRET}}, "quay.io", "", "plain"),
        ({"quay.io": {}}, "quay.io", "", None),
        ({"quay.io": auth("name", "pass:word:")}, "quay.io", "", "name"),
        ({}, "quay.io", "", None),
    ],
)  # fmt: skip
def test_the_longest_name_counts(
    nobody: Path, auths: dict[str, Any], registry: str, repository: str, expected: str | None
) -> None:
    put(nobody / ".docker/config.json", {"auths": auths})
    assert user(registry, repository) == expected


def test_the_password_is_as_it_was_written(nobody: Path) -> None:
    put(nobody / ".docker/config.json", {"auths": {"a.b": auth("u", "p:ä w"), "c.d": auth("u", "x\0\0")}})
    assert find("a.b") == Credentials("u", "p:ä w")
    assert find("c.d") == Credentials("u", "x")
    found = find("a.b")
    assert found is not None
    assert found.basic == "Basic " + base64.b64encode("u:p:ä w".encode()).decode()
    assert Credentials.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_an_identity_token_is_one(nobody: Path) -> None:
    put(nobody / ".docker/config.json", {"auths": {"a.b": {**auth("u", ""), "identitytoken": "tok"}}})
    assert find("a.b") == Credentials("u", "", "tok")


def test_the_order_of_the_files(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(nobody / ".dockercfg", {"a.b": auth("oldest")})
    assert user("a.b") == "oldest"
    put(nobody / ".docker/config.json", {"auths": {"a.b": auth("docker")}})
    assert user("a.b") == "docker"
    monkeypatch.setenv("DOCKER_CONFIG", str(nobody / "other"))
    assert user("a.b") == "oldest"
    put(nobody / "other/config.json", {"auths": {"a.b": auth("elsewhere")}})
    assert user("a.b") == "elsewhere"
    put(nobody / ".config/containers/auth.json", {"auths": {"a.b": auth("config")}})
    assert user("a.b") == "config"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(nobody / "run"))
    put(nobody / "run/containers/auth.json", {"auths": {"a.b": auth("podman"), "c.d": {}}})
    assert user("a.b") == "podman"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(nobody / "named.json"))
    assert user("a.b") is None
    put(nobody / "named.json", {"auths": {"a.b": auth("named")}})
    assert user("a.b") == "named"


@pytest.mark.parametrize(
    "content, why",
    [
        ("{", "it is not JSON"),
        ("[]", "it is no JSON object"),
        ('{"auths": [1]}', "auths is no object"),
        ('{"credHelpers": "x"}', "credHelpers is no object"),
        ('{"auths": {"a.b": "x"}}', "auths['a.b'] is no object"),
        ('{"auths": {"a.b": {"auth": "???"}}}', "auths['a.b'].auth is not the base64 of USER:PASSWORD"),
        (json.dumps({"auths": {"a.b": {"auth": base64.b64encode(SECRET.encode()).decode()}}}), "not the base64"),
        (json.dumps({"auths": {"a.b": {"auth": base64.b64encode(b"\xff:" + SECRET.encode()).decode()}}}), "not the base64"),
        (" " * (1 << 20) + "{}", "too large"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_without_what_is_in_it(nobody: Path, content: str, why: str) -> None:
    path = put(nobody / ".docker/config.json", content)
    with pytest.raises(RegistryError) as caught:
        find("a.b")
    assert why in caught.value.message
    assert str(path) in caught.value.message
    assert f"mend {path}" in caught.value.hint
    assert SECRET not in str(caught.value)
    assert base64.b64encode(SECRET.encode()).decode() not in str(caught.value)


def test_an_empty_file_says_nothing(nobody: Path) -> None:
    put(nobody / ".docker/config.json", "")
    assert find("a.b") is None


def test_no_word_about_credentials_has_the_password() -> None:
    one = Credentials("me", SECRET, "token-9")
    for text in (repr(one), str(one), f"{one}", repr([one]), repr({"a": one})):
        assert SECRET not in text
        assert "token-9" not in text
        assert "me" in text
    assert pickle.loads(pickle.dumps(one)) == one


HELPER = f"""#!{sys.executable} -IS
import json, os, sys
folder = {{folder!r}}
open(folder + "/arguments", "a").write(" ".join(sys.argv[1:]) + chr(10))
words = sys.stdin.read()
path = folder + "/kept.json"
kept = json.load(open(path)) if os.path.exists(path) else {{{{}}}}
if sys.argv[1] == "store":
    one = json.loads(words)
    kept[one["ServerURL"]] = one
elif words not in kept:
    print("credentials not found in native keychain")
    sys.exit(1)
elif sys.argv[1] == "get":
    print(json.dumps(kept[words]))
elif sys.argv[1] == "erase":
    del kept[words]
json.dump(kept, open(path, "w"))
"""


@pytest.fixture
def keychain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker-credential-test in the PATH; the folder it keeps its things in."""
    folder = tmp_path / "bin"
    program = put(folder / "docker-credential-test", HELPER.format(folder=str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def helper_that(folder: Path, name: str, script: str) -> None:
    put(folder / f"docker-credential-{name}", f"#!/bin/sh\n{script}\n").chmod(0o755)


def test_a_helper_is_asked(nobody: Path, keychain: Path) -> None:
    helper.store("test", "a.b", Credentials("kept", SECRET))
    helper.store("test", HUB_KEY, Credentials("hub", SECRET))
    put(nobody / ".docker/config.json", {"credsStore": "test", "auths": {"a.b": {}, "c.d": auth("file")}})
    assert find("a.b", "x/y") == Credentials("kept", SECRET)
    assert user("docker.io", "x") == "hub"
    assert user("c.d") == "file"
    assert user("e.f") is None
    put(nobody / ".docker/config.json", {"credHelpers": {"a.b": "test"}, "credsStore": "missing"})
    assert user("a.b") == "kept"
    assert SECRET not in (keychain / "arguments").read_text()


def test_a_helpers_token_is_an_identity_token(nobody: Path, keychain: Path) -> None:
    helper.store("test", "a.b", Credentials("<token>", SECRET))
    assert helper.get("test", "a.b") == Credentials("", identity_token=SECRET)


@pytest.mark.parametrize(
    "name, why",
    [
        ("absent", "docker-credential-absent is not installed"),
        ("loud", "docker-credential-loud get failed: the keychain is locked"),
        ("mute", "docker-credential-mute get failed: exit status 3"),
        ("garbage", "docker-credential-garbage get failed: its answer is not JSON"),
        ("slow", "docker-credential-slow get failed: no answer within 0.3 s"),
        ("../x", "'../x' is no name of a credential helper"),
    ],
)
def test_a_helper_that_fails_is_told(
    nobody: Path, keychain: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.setattr(helper, "TIMEOUT_S", 0.3)
    helper_that(keychain, "loud", "echo the keychain is locked; exit 1")
    helper_that(keychain, "mute", "exit 3")
    helper_that(keychain, "garbage", f"echo '{SECRET}'")
    helper_that(keychain, "slow", "exec sleep 5")
    put(nobody / ".docker/config.json", {"credsStore": name})
    with pytest.raises(RegistryError) as caught:
        find("a.b")
    assert why in caught.value.message
    assert caught.value.hint
    assert SECRET not in str(caught.value)


@pytest.fixture
def known(liar: Liar) -> Liar:
    """A registry that knows me with SECRET, by Basic."""
    expected = Credentials("me", SECRET).basic
    challenge = Said(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    liar.say("GET", "/v2/", lambda asked: Said() if asked.headers.get("authorization") == expected else challenge)
    return liar


def settings() -> Settings:
    return Settings(backoff=0.01, stall_timeout=2, connect_timeout=2)


def test_login_keeps_what_the_registry_accepts(nobody: Path, known: Liar) -> None:
    path = put(nobody / ".docker/config.json", {"auths": {"x.y": auth("other")}, "HttpHeaders": {"a": "b"}})
    path.chmod(0o644)
    assert login.login(settings(), known.host, "me", SECRET) == str(path)
    kept = json.loads(path.read_text())
    assert kept == {"auths": {"x.y": auth("other"), known.host: auth("me")}, "HttpHeaders": {"a": "b"}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["config.json"]
    assert find(known.host) == Credentials("me", SECRET)
    assert login.logout(known.host) == [str(path)]
    assert json.loads(path.read_text()) == {"auths": {"x.y": auth("other")}, "HttpHeaders": {"a": "b"}}


def test_login_keeps_nothing_that_the_registry_refuses(nobody: Path, known: Liar) -> None:
    with pytest.raises(RegistryError) as caught:
        login.login(settings(), known.host, "me", "wrong-" + SECRET)
    assert caught.value.message == f"{known.host} does not accept the password of 'me'"
    assert f"%image login {known.host}" in caught.value.hint
    assert caught.value.status == 401
    assert SECRET not in str(caught.value)
    assert not (nobody / ".docker").exists()


def test_login_at_what_is_no_registry(nobody: Path, liar: Liar) -> None:
    liar.say("GET", "/v2/", Said(404, b"<html>nginx</html>", {"Content-Type": "text/html"}))
    with pytest.raises(RegistryError, match="does not answer as a registry: a web page, with status 404"):
        login.login(settings(), liar.host, "me", SECRET)


def test_login_goes_where_credentials_already_are(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = put(nobody / ".config/containers/auth.json", {"auths": {"https://a.b": auth("old"), "c.d": auth("stays")}})
    assert login.store("a.b", Credentials("new", SECRET)) == str(podman)
    assert json.loads(podman.read_text())["auths"] == {"a.b": auth("new"), "c.d": auth("stays")}
    assert login.store("docker.io", Credentials("hub", SECRET)) == str(nobody / ".docker/config.json")
    assert json.loads((nobody / ".docker/config.json").read_text()) == {"auths": {HUB_KEY: auth("hub")}}
    assert stat.S_IMODE((nobody / ".docker").stat().st_mode) == 0o700
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(nobody / "mine.json"))
    assert login.store("a.b", Credentials("new", SECRET)) == str(nobody / "mine.json")


def test_login_follows_a_link_to_the_file(nobody: Path) -> None:
    real = put(nobody / "dotfiles/config.json", {})
    (nobody / ".docker").mkdir()
    (nobody / ".docker/config.json").symlink_to(real)
    login.store("a.b", Credentials("me", SECRET))
    assert (nobody / ".docker/config.json").is_symlink()
    assert "a.b" in json.loads(real.read_text())["auths"]


def test_login_by_a_helper_leaves_no_password_in_the_file(nobody: Path, keychain: Path) -> None:
    path = put(nobody / ".docker/config.json", {"credsStore": "test"})
    assert login.store("a.b", Credentials("me", SECRET)) == "docker-credential-test"
    assert json.loads(path.read_text()) == {"credsStore": "test", "auths": {"a.b": {}}}
    assert find("a.b") == Credentials("me", SECRET)
    assert login.logout("a.b") == ["docker-credential-test"]
    assert json.loads(path.read_text()) == {"credsStore": "test", "auths": {}}
    assert find("a.b") is None


def test_a_file_that_cannot_be_written_is_told(nobody: Path) -> None:
    (nobody / ".docker").write_text("a file")
    with pytest.raises(RegistryError, match=r"credentials cannot be kept in .*config\.json") as caught:
        login.store("a.b", Credentials("me", SECRET))
    assert "DOCKER_CONFIG" in caught.value.hint
    assert SECRET not in str(caught.value)


def test_logout_forgets_everywhere(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(nobody / ".config/containers/auth.json", {"auths": {"a.b": auth("one")}})
    second = put(nobody / ".docker/config.json", {"auths": {"https://a.b/v1/": auth("two"), "c.d": auth("three")}})
    third = put(nobody / ".dockercfg", {"a.b": auth("four"), "e.f": auth("five")})
    assert login.logout("a.b") == [str(first), str(second), str(third)]
    assert find("a.b") is None
    assert json.loads(third.read_text()) == {"e.f": auth("five")}
    with pytest.raises(NotFound, match=r"nobody is logged in at a\.b") as caught:
        login.logout("a.b")
    assert caught.value.hint == "there are logins for c.d, e.f"
    assert login.logout_all() == [str(second), str(third)]
    assert login.logout_all() == []
    with pytest.raises(NotFound) as caught:
        login.logout("")
    assert (caught.value.message, caught.value.hint) == ("nobody is logged in at docker.io", "%image login docker.io")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "docker.io"), ("docker.io", "docker.io"), (HUB_KEY, "docker.io"), ("registry-1.docker.io", "docker.io"),
        ("quay.io", "quay.io"), ("https://quay.io/", "quay.io"), ("quay.io/team", "quay.io/team"),
        ("registry.lab:5000", "registry.lab:5000"), ("localhost:5000", "localhost:5000"), ("localhost", "localhost"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)  # fmt: skip
def test_what_one_may_log_in_to(text: str, expected: str) -> None:
    assert login.named(text) == expected


@pytest.mark.parametrize("text", ["quay", "a b.c", "x/y", "a.b/UP", "--help", "a.b:c"])
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(InvalidArgument):
        login.named(text)


def test_the_password_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, where ipykernel puts its own getpass and input in place."""

    def asked(prompt: str) -> str:
        return f"secret for {prompt}"

    monkeypatch.setattr(getpass, "getpass", asked)
    monkeypatch.setattr("builtins.input", lambda prompt: " me ")
    assert login.ask("", "", from_input=False) == ("me", "secret for Password: ")
    assert login.ask("you", "", from_input=False) == ("you", "secret for Password: ")
    assert login.ask("you", "word", from_input=False) == ("you", "word")

    def nobody_there(prompt: str) -> str:
        raise NotImplementedError("this frontend does not support input requests")

    monkeypatch.setattr(getpass, "getpass", nobody_there)
    with pytest.raises(InvalidArgument, match="login needs a user and a password"):
        login.ask("you", "", from_input=False)


def test_the_password_from_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{\n  "key": 1\n}\r\n'))
    assert login.ask("_json_key", "", from_input=True) == ("_json_key", '{\n  "key": 1\n}')
    for words in (("", ""), ("me", "p")):
        with pytest.raises(InvalidArgument, match="--password-stdin needs -u USER"):
            login.ask(*words, from_input=True)


def test_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(InvalidArgument, match="needs a user and a password") as caught:
        login.ask("me", "", from_input=False)
    assert "--password-stdin" in caught.value.hint
    with pytest.raises(InvalidArgument, match="without ':'"):
        login.ask("me:you", "word", from_input=False)
    with pytest.raises(InvalidArgument, match="password are needed"):
        login.ask("me", "", from_input=True)


def test_keys() -> None:
    assert credentials.key("docker.io") == HUB_KEY
    assert credentials.key("quay.io/a") == "quay.io/a"
