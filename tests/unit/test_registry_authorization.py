"""The dance with a registry that wants to know who we are, and guards against one that asks too much."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from nbcontainers.errors import RegistryError
from nbcontainers.oci.reference import parse
from nbcontainers.registry import authorization
from nbcontainers.registry.authorization import Authorization
from nbcontainers.registry.credentials import Credentials
from nbcontainers.registry.repository import Repository
from nbcontainers.registry.settings import Settings
from nbcontainers.registry.transport import Transport
from tests.registries import Asked, Liar, Said, image_of

ME = Credentials("me", "tulip-7")
IMAGE = image_of([b"a layer"])


class Guarded:
    """A registry and its token server in one: `needs` are the scopes that a token must have."""

    def __init__(self, liar: Liar, **document: Any) -> None:
        self.liar = liar
        self.document = document
        self.needs = {"repository:a/b:pull"}
        self.granted: dict[str, set[str]] = {}
        self.challenge = f'Bearer realm="http://{liar.host}/token",service="the registry",scope="repository:a/b:pull"'
        liar.serve("a/b", "1", IMAGE)
        self.fine = liar.scripts["*", "/v2/a/b/manifests/1"]
        for path in ("/v2/a/b/manifests/1", "/v2/"):
            liar.say("*", path, self.answer)
        liar.say("*", "/token", self.token)

    def answer(self, asked: Asked) -> Said:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.granted:
            return Said(401, b'{"errors":[{"message":"who are you"}]}', {"WWW-Authenticate": self.challenge})
        if missing := self.needs - self.granted[token]:
            challenge = f'{self.challenge.rpartition(",")[0]},scope="{" ".join(missing)}",error="insufficient_scope"'
            return Said(401, headers={"WWW-Authenticate": challenge})
        assert isinstance(self.fine, Said)
        return self.fine

    def token(self, asked: Asked) -> Said:
        words = parse_qs(asked.body.decode() if asked.method == "POST" else urlsplit(asked.path).query)
        token = f"token-{len(self.granted)}"
        scopes = {one for text in words.get("scope", []) for one in text.split()}
        self.granted[token] = {
            f"{scope.rpartition(':')[0]}:{action}" for scope in scopes for action in scope.rpartition(":")[2].split(",")
        } | scopes
        return Said(body=json.dumps({"token": token, **self.document}).encode())

    @property
    def tokens(self) -> list[Asked]:
        return [one for one in self.liar.asked if one.path.startswith("/token")]


def repository(liar: Liar, settings: Settings | None = None, **options: Any) -> Repository:
    return Repository(parse(f"{liar.host}/a/b:1"), settings or liar.settings(tries=1), **options)


def failing(liar: Liar, **options: Any) -> RegistryError:
    with repository(liar, **options) as one, pytest.raises(RegistryError) as caught:
        one.manifest("1")
    assert ME.password not in str(caught.value)
    return caught.value


def test_a_token_for_nobody(liar: Liar) -> None:
    guarded = Guarded(liar)
    with repository(liar) as one:
        one.manifest("1")
        one.manifest("1")
        assert one.head("1")
    (asked,) = guarded.tokens
    assert asked.method == "GET"
    assert parse_qs(urlsplit(asked.path).query) == {"service": ["the registry"], "scope": ["repository:a/b:pull"]}
    assert "authorization" not in asked.headers


def test_a_token_for_me(liar: Liar) -> None:
    guarded = Guarded(liar)
    with repository(liar, credentials=ME) as one:
        one.manifest("1")
    (asked,) = guarded.tokens
    assert asked.headers["authorization"] == ME.basic
    assert parse_qs(urlsplit(asked.path).query)["account"] == ["me"]
    assert all(ME.password not in one.path for one in liar.asked)


def test_credentials_are_looked_up_only_when_asked_for(liar: Liar, nobody: Path) -> None:
    config = nobody / ".docker/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {f"{liar.host}/a": {"username": "me", "password": "tulip-7"}}}))
    guarded = Guarded(liar)
    with repository(liar) as one:
        one.manifest("1")
    assert guarded.tokens[0].headers["authorization"] == ME.basic
    config.write_text("damaged")
    liar.serve("a/b", "1", IMAGE)
    with repository(liar) as one:
        one.manifest("1")  # an open registry: nobody looks at the file
    assert "it is not JSON" in failing_guarded(liar).message


def failing_guarded(liar: Liar) -> RegistryError:
    Guarded(liar)
    return failing(liar)


def test_pushing_asks_for_more(liar: Liar) -> None:
    guarded = Guarded(liar)
    liar.say(
        "POST",
        "/v2/a/b/blobs/uploads/",
        lambda asked: Said(201) if "authorization" in asked.headers else guarded.answer(asked),
    )
    with repository(liar, push=True) as one:
        assert one.mount_blob("sha256:" + "a" * 64, "c/d")
    scopes = parse_qs(urlsplit(guarded.tokens[0].path).query)["scope"]
    assert scopes == ["repository:a/b:pull,push", "repository:c/d:pull"]


@pytest.mark.parametrize("document", [{}, {"expires_in": 300}, {"expires_in": "soon"}, {"expires_in": -1}])
def test_a_token_is_kept_until_it_expires(
    liar: Liar, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]
) -> None:
    now = [1000.0]
    guarded = Guarded(liar, **document)
    monkeypatch.setattr(authorization.time, "monotonic", lambda: now[0])
    lifetime = 300 if document.get("expires_in") == 300 else 60
    with repository(liar) as one:
        one.manifest("1")
        now[0] += lifetime * 0.75
        one.manifest("1")
        assert len(guarded.tokens) == 1
        now[0] += lifetime
        one.manifest("1")
        assert len(guarded.tokens) == 2
    assert sum(one.path.startswith("/v2/a") for one in liar.asked) == 4, "a new token comes before it is missed"


def test_a_token_the_registry_forgot_is_renewed_once(liar: Liar) -> None:
    guarded = Guarded(liar)
    with repository(liar) as one:
        one.manifest("1")
        guarded.granted.clear()
        guarded.granted["x"] = set()
        one.manifest("1")
    assert len(guarded.tokens) == 2


def test_access_token_is_a_token(liar: Liar) -> None:
    guarded = Guarded(liar)
    liar.say("*", "/token", Said(body=b'{"access_token": "yes"}'))
    guarded.granted["yes"] = guarded.needs
    with repository(liar) as one:
        one.manifest("1")


def test_insufficient_scope_is_asked_for_once(liar: Liar) -> None:
    guarded = Guarded(liar)
    guarded.needs = {"repository:a/b:pull", "registry:catalog:*"}
    with repository(liar) as one:
        one.manifest("1")
        one.manifest("1")
    assert len(guarded.tokens) == 2
    assert parse_qs(urlsplit(guarded.tokens[1].path).query)["scope"] == ["registry:catalog:*", "repository:a/b:pull"]


def test_what_no_token_helps_against(liar: Liar) -> None:
    guarded = Guarded(liar)
    guarded.needs = {"never"}
    liar.say("*", "/token", lambda asked: (guarded.granted.update(t=set()), Said(body=b'{"token":"t"}'))[1])
    error = failing(liar)
    assert (
        f"{liar.host} does not let us in without a login: {liar.host}/a/b:1 does not exist or is private"
        in error.message
    )
    assert (error.hint, error.status, error.retry) == (f"%image login {liar.host}", 401, False)
    error = failing(liar, credentials=ME)
    assert f"refuses user me: a wrong password, or no right to {liar.host}/a/b:1" in error.message


def test_a_server_that_repeats_our_secrets() -> None:
    known = Credentials("me", "tulip-7", "iris-8")
    error = Authorization(
        Transport(Settings(), lambda host: True), "a.b", "a.b", lambda: known, insecure=False
    ).refused("x", "no tulip-7, iris-8")
    assert "(no …, …)" in error.message


def test_several_threads_share_a_token(liar: Liar) -> None:
    guarded = Guarded(liar)
    with repository(liar) as one:
        threads = [threading.Thread(target=one.manifest, args=("1",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(guarded.tokens) == 1
    assert len({asked.headers.get("authorization") for asked in liar.asked[-2:]}) == 1


def test_an_identity_token_is_exchanged_by_post(liar: Liar) -> None:
    guarded = Guarded(liar)
    with repository(liar, credentials=Credentials("", identity_token="refresh-9")) as one:
        one.manifest("1")
    (asked,) = guarded.tokens
    assert (asked.method, "?" in asked.path) == ("POST", False)
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"], "refresh_token": ["refresh-9"], "service": ["the registry"],
        "scope": ["repository:a/b:pull"], "client_id": ["nbcontainers"],
    }  # fmt: skip


def test_a_server_that_knows_only_oauth2(liar: Liar) -> None:
    guarded = Guarded(liar)
    liar.say("GET", "/token", Said(404))
    liar.say("POST", "/token", guarded.token)
    with repository(liar, credentials=ME) as one:
        one.manifest("1")
    assert parse_qs(guarded.tokens[-1].body.decode())["grant_type"] == ["password"]


@pytest.mark.parametrize(
    "said, why",
    [
        (Said(401, b'{"details":"incorrect username or password"}'), "(incorrect username or password)"),
        (Said(403), "refuses user me"),
        (Said(404), "gives no token: status 404"),
        (Said(200, b"<html>"), "gives no token: a web page"),
        (Said(200, b"no json"), "gives no token: its answer is no JSON object"),
        (Said(200, b"[]"), "gives no token: its answer is no JSON object"),
        (Said(200, b"{}"), "gives no token: its answer has no token"),
        (Said(200, b'{"token": 7}'), "gives no token: its answer has no token"),
        (Said(200, b'{"token": "a\\r\\nX-Evil: 1"}'), "gives no token: its answer has no token"),
        (Said(200, b"x" * 70_000), "more than the 65536 bytes"),
        (Said(endless=True), "more than the 65536 bytes"),
        (Said(503), "answers 503 to a token"),
        (Said(200, b"{", length=50), "closed the connection half way"),
    ],
)
def test_a_token_server_that_gives_none(liar: Liar, said: Said, why: str) -> None:
    Guarded(liar)
    liar.say("*", "/token", said)
    assert why in failing(liar, credentials=ME).message


@pytest.mark.parametrize("header", ["Negotiate", "Digest realm=x, Negotiate", 'AWS4-HMAC-SHA256 realm="x"'])
def test_a_way_in_that_we_do_not_know(liar: Liar, header: str) -> None:
    liar.say("*", "/v2/*", Said(401, headers={"WWW-Authenticate": header}))
    error = failing(liar)
    assert "wants a login by " + header.split()[0].lower() in error.message
    assert "we know Basic and Bearer" in error.message


def test_a_401_without_a_word(liar: Liar) -> None:
    liar.say("*", "/v2/*", Said(401))
    assert "does not exist or is private" in failing(liar).message


def test_basic(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    fine = liar.scripts["*", "/v2/a/b/manifests/1"]
    assert isinstance(fine, Said)
    refused = Said(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    liar.say(
        "*", "/v2/a/b/manifests/1", lambda asked: fine if asked.headers.get("authorization") == ME.basic else refused
    )
    with repository(liar, credentials=ME) as one:
        one.manifest("1")
        one.manifest("1")
    assert len([asked for asked in liar.asked if asked.path.endswith("/1")]) == 3
    assert "does not exist or is private" in failing(liar).message
    assert "refuses user me" in failing(liar, credentials=Credentials("me", "tulip-7x")).message


def test_bearer_is_preferred_to_basic(liar: Liar) -> None:
    guarded = Guarded(liar)
    guarded.challenge = f"Basic realm=x\n{guarded.challenge}"
    with repository(liar, credentials=ME) as one:
        one.manifest("1")
    assert len(guarded.tokens) == 1


def guard(host: str, *, insecure: bool = False) -> Authorization:
    transport = Transport(Settings(), lambda host: True)
    return Authorization(transport, host, host, lambda: None, insecure=insecure)


REALMS = [
    ("http://auth.example/token", "where passwords would travel in the clear"),
    ("ftp://auth.example/token", "which is no address of a token server"),
    ("/token", "which is no address of a token server"),
    ("https://auth.example:port/", "which is no address of a token server"),
    ("https://auth.example:99999/", "which is no address of a token server"),
    ("https://auth.ex\u00e4mple/", "which is no address of a token server"),
    ("", "which is no address of a token server"),
    ("https://[::1/token", "which is no address of a token server"),
    ("https://user:word@auth.example/", "which is no address of a token server"),
    ("https://169.254.169.254/latest/meta-data", "an address inside the network of this machine"),
    ("https://127.0.0.1/token", "an address inside the network of this machine"),
    ("https://10.0.0.1:8443/token", "an address inside the network of this machine"),
    ("https://[fe80::1]/token", "an address inside the network of this machine"),
    ("https://metadata.internal/token", "an address inside the network of this machine"),
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server: *.internal and lab are inside, everything else is outside."""

    def resolve(host: str, *words: Any, **options: Any) -> Any:
        address = host if host[0].isdigit() or ":" in host else "1.1.1.1"
        address = {"metadata.internal": "169.254.169.254", "registry.lab": "10.9.9.9", "auth.lab": "10.9.9.8"}.get(
            host, address
        )
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize("realm, why", REALMS)
def test_where_a_token_is_not_fetched(names: None, realm: str, why: str) -> None:
    with pytest.raises(RegistryError) as caught:
        guard("registry.example").learn([f'Bearer realm="{realm}",service=x'], "")
    assert why in caught.value.message
    assert "insecure = true" in caught.value.hint


def test_where_a_token_may_be_fetched(names: None) -> None:
    for host, realm in [
        ("registry.example", "https://auth.example/token"),
        ("registry.lab", "https://auth.lab/token"),
        ("10.9.9.9:5000", "https://10.9.9.9:5001/auth"),
    ]:
        assert guard(host).learn([f'Bearer realm="{realm}"'], "")
    assert guard("registry.example", insecure=True).learn(['Bearer realm="http://10.0.0.1/token"'], "")
    with pytest.raises(RegistryError, match="an address inside"):
        guard("registry.lab").learn(['Bearer realm="https://metadata.internal/token"'], "")


def test_where_we_are_redirected_to_may_not_ask_who_we_are(liar: Liar) -> None:
    from tests.registries import lying_registry

    guarded = Guarded(liar)
    with lying_registry() as other:
        challenge = f'Bearer realm="http://{other.host}/token",service=x\nBasic realm=y'
        other.say("*", "/data", Said(401, headers={"WWW-Authenticate": challenge}))
        real = guarded.fine
        guarded.fine = Said(307, headers={"Location": f"http://{other.host}/data"})
        error = failing(liar, credentials=ME)
        assert f"{other.host.partition(':')[0]} answers 401 to" in error.message
        assert [asked.path for asked in other.asked] == ["/data"]
        assert "authorization" not in other.asked[0].headers
        guarded.fine = real
        with repository(liar, credentials=ME) as one:
            one.manifest("1")


def test_a_redirect_of_the_token_server_takes_no_password_along(liar: Liar) -> None:
    from tests.registries import lying_registry

    Guarded(liar)
    with lying_registry() as other:
        other.say("GET", "/steal", Said(body=b'{"token":"t"}'))
        liar.say("GET", "/token", Said(302, headers={"Location": f"http://{other.host}/steal"}))
        failing(liar, credentials=ME)
        assert other.asked
        assert all("authorization" not in asked.headers for asked in other.asked)


def test_a_redirect_of_the_token_server_takes_no_token_of_ours_along(liar: Liar) -> None:
    """The headers stay; so must a form, which holds the identity token or the password."""
    from tests.registries import lying_registry

    guarded = Guarded(liar)
    with lying_registry() as other:
        other.say("POST", "/steal", Said(body=b'{"token":"t"}'))
        liar.say("POST", "/token", Said(307, headers={"Location": f"http://{other.host}/steal"}))
        error = failing(liar, credentials=Credentials("", identity_token="refresh-9"))
        assert "they do not go there" in error.message
        assert other.asked == []
        liar.say("POST", "/token", Said(307, headers={"Location": "/token2"}))
        liar.say("POST", "/token2", guarded.token)
        with repository(liar, credentials=Credentials("", identity_token="refresh-9")) as one:
            one.manifest("1")


@pytest.mark.parametrize("seconds", [10**400, float("inf"), float("nan"), True, -3])
def test_any_lifetime_of_a_token_is_one(liar: Liar, seconds: Any) -> None:
    Guarded(liar, expires_in=seconds)
    with repository(liar) as one:
        one.manifest("1")


def test_credentials_that_could_not_be_found_matter_only_where_they_are_needed(liar: Liar) -> None:
    """As with a helper that is named in the configuration and not installed."""
    missing = RegistryError("docker-credential-desktop is not installed, and the configuration names it")
    liar.serve("a/b", "1", IMAGE)
    with repository(liar, credentials=missing) as one:
        one.manifest("1")
    Guarded(liar)
    assert "docker-credential-desktop is not installed" in failing(liar, credentials=missing).message
