"""The settings file: what it may say, what is wrong with it, and what it means for a name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, RegistryError
from nbcontainers.registry import conf, settings, toml
from nbcontainers.registry.names import candidates
from nbcontainers.registry.settings import Mirror, Registry, Settings, load

EXAMPLE = """
search = ["docker.io", "quay.io"]
connect_timeout = 3
stall_timeout = 0.5
tries = 2
backoff = 0.1

[aliases]
lab = "registry.lab:5000/science/lab"

[registry."registry.lab:5000"]
insecure = true
location = "10.1.2.3:5000/mirror"
mirrors = ["mirror.lab/hub", { location = "10.0.0.5:5000", insecure = true, pull = "digest-only" }]

[registry."bad.example"]
blocked = true

[registry."quay.io/team"]
ca = "/etc/ssl/team.pem"
mirrors = ["team.lab"]
"""


@pytest.fixture(autouse=True)
def alone(nobody: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "SYSTEM", tmp_path / "none.toml")
    monkeypatch.setattr(conf, "SYSTEM", tmp_path / "containers")


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(tmp_path: Path, text: str) -> Settings:
    return Settings(**toml.read(written(tmp_path / "registries.toml", text)))


def test_the_example_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    assert found.search == ("docker.io", "quay.io")
    assert (found.connect_timeout, found.stall_timeout, found.tries, found.backoff) == (3, 0.5, 2, 0.1)
    lab = found.registry("registry.lab:5000/science/lab")
    assert lab.mirrors == (Mirror("mirror.lab/hub"), Mirror("10.0.0.5:5000", True, "digest-only"))
    assert found.path == str(tmp_path / "registries.toml")


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    block = "\n".join(line for line in (settings.__doc__ or "").splitlines() if line.startswith("    "))
    found = read(tmp_path, block)
    assert found.registries[0].ca == "/etc/ssl/lab-ca.pem"
    assert found.search == ("docker.io", "quay.io")


def test_settings_cross_a_border_as_json(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    assert Settings.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    "text, why",
    [
        ("\nserch = []", ", line 2: serch is no setting; there are search, aliases"),
        ("search = []", "must be a list of hosts"),
        ('search = "docker.io"', "must be a list of hosts"),
        ('search = ["https://x"]', "'https://x', which is no host"),
        ("stall_timeout = 0", "must be seconds"),
        ("stall_timeout = true", "must be seconds"),
        ('connect_timeout = "10s"', "must be seconds"),
        ("tries = 0", "must be a number from 1 to 20"),
        ("tries = 1.5", "must be a number"),
        ('[registry."a.b"]\nca = "ca.pem"', "ca must be the absolute path"),
        ('[registry."a.b"]\n\ninsecure = 1', ', line 3: [registry."a.b"] insecure must be true or false'),
        ('[registry."a.b"]\nmirror = "x"', "mirror is no setting; there are location, insecure, blocked, ca, mirrors"),
        ('[registry."a.b"]\nmirrors = "x"', "mirrors must be a list"),
        ('[registry."a.b"]\nmirrors = [1]', "mirrors has an entry that is neither"),
        ('[registry."a.b"]\nmirrors = [{location = "x", pul = "all"}]', "mirrors: pul is no setting"),
        ('[registry."a.b"]\nmirrors = [{location = "x", pull = "some"}]', "must be all, digest-only or tag-only"),
        ('[registry."a.b"]\nlocation = "https://x"', "without a scheme"),
        ('[registry."https://a.b"]\nblocked = true', "is no host"),
        ('registry = "x"', "registry must be tables"),
        ('registry = {"a.b" = 3}', "needs keys"),
        ('[aliases]\nlab = "nginx"', "write the whole one, as 'docker.io/library/nginx'"),
        ('[aliases]\nlab = "quay.io/a/b:1"', "without a tag"),
        ('[aliases]\nlab = "UP/x y"', "an impossible name"),
        ("search = [", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(tmp_path, text)
    assert why in caught.value.message
    assert str(tmp_path / "registries.toml") in caught.value.message
    assert "edit " in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        toml.read(tmp_path)
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        toml.read(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"#" * (2 << 20))
    with pytest.raises(InvalidArgument, match="larger than 1 MiB"):
        toml.read(tmp_path / "x")


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path / "root", tmp_path / "run", True)
    none = load(engine)
    assert (none.path, none.search) == (str(tmp_path / "root/registries.toml"), ("docker.io",))
    written(tmp_path / "none.toml", "tries = 7")
    assert (load(engine).tries, load(engine).path) == (7, str(tmp_path / "none.toml"))
    written(tmp_path / "root/registries.toml", "tries = 8")
    assert load(engine).tries == 8
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(written(tmp_path / "mine", "tries = 9")))
    assert load(engine).tries == 9
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(tmp_path / "missing"))
    with pytest.raises(InvalidArgument, match="which is no file"):
        load(engine)


def test_the_environment_gives_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://upper:1")
    monkeypatch.setenv("HTTP_PROXY", "http://never:1")
    monkeypatch.setenv("NO_PROXY", "x")
    monkeypatch.setenv("no_proxy", "y")
    engine = Engine(tmp_path / "root", tmp_path / "run", True)
    assert load(engine).proxies == {"https": "http://upper:1", "no": "y"}
    assert "upper" not in repr(load(engine)), "there may be a password in it"


CONF = """
unqualified-search-registries = ["quay.io", "docker.io"]
short-name-mode = "enforcing"
[aliases]
"lab" = "quay.io/team/lab"
[[registry]]
prefix = "docker.io"
location = "registry-1.docker.io"
[[registry.mirror]]
location = "mirror.lab"
insecure = true
pull-from-mirror = "tag-only"
[[registry]]
location = "bad.example"
blocked = true
"""


def test_podmans_file_is_read_where_there_is_none_of_ours(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "root", tmp_path / "run", True)
    written(tmp_path / "containers/registries.conf", CONF)
    written(tmp_path / "containers/registries.conf.d/shortnames.conf", '[aliases]\nfed = "registry.fed.org/fed"')
    found = load(engine)
    assert found.search == ("quay.io", "docker.io")
    assert found.aliases == {"lab": "quay.io/team/lab", "fed": "registry.fed.org/fed"}
    assert found.registry("docker.io/library/x").mirrors == (Mirror("mirror.lab", True, "tag-only"),)
    assert [one.host for one in found.sources("docker.io/library/x")] == ["mirror.lab", "registry-1.docker.io"]
    assert found.path == str(tmp_path / "root/registries.toml"), "hints name the file that is ours to write"
    written(tmp_path / "home/.config/containers/registries.conf", 'unqualified-search-registries = ["my.lab"]')
    assert load(engine).search == ("my.lab",)
    written(tmp_path / "home/.config/containers/registries.conf.d/mine.conf", '[aliases]\nfed = ""\nown = "my.lab/own"')
    assert load(engine).aliases == {"own": "my.lab/own"}, "an alias of nothing takes one away"


@pytest.mark.parametrize(
    "text, why",
    [
        ("[registries.search]\nregistries = ['docker.io']", "is of version 1"),
        ("[[registry]]\nblocked = true", "neither prefix nor location"),
        ("registry = 3", "is not as containers-registries.conf"),
        ("[[registry]]\nprefix = 'x'\n[[registry.mirror]]\ninsecure = true", "is not as"),
        ("x = [", "is not TOML"),
        ("[[registry]]\nlocation = 'x'\nblocked = 'no'", "blocked must be true or false"),
        ("[[registry]]\nlocation = 'x'\ninsecure = 'no'", "insecure must be true or false"),
        ("[[registry]]\nprefix = 'x'\nlocation = 'y:port'", "location must be host"),
        ("[[registry]]\nprefix = 'x'\n[[registry.mirror]]\nlocation = 'https://y'", "location must be host"),
        ("[aliases]\nx = 3", "aliases must be a table"),
        ("unqualified-search-registries = 'docker.io'", "search must be a list"),
    ],
)
def test_a_bad_file_of_podmans_is_told(tmp_path: Path, text: str, why: str) -> None:
    written(tmp_path / "containers/registries.conf", text)
    with pytest.raises(InvalidArgument, match=why):
        conf.read()


def test_where_a_repository_is(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    hub = found.sources("docker.io/library/nginx")
    assert [tuple(one) for one in hub] == [
        ("registry-1.docker.io", "library/nginx", False, "docker.io", False, "all")
    ]  # fmt: skip
    lab = found.sources("registry.lab:5000/science/lab")
    assert [(one.host, one.path, one.insecure, one.mirror) for one in lab] == [
        ("mirror.lab", "hub/science/lab", False, True),
        ("10.0.0.5:5000", "science/lab", True, True),
        ("10.1.2.3:5000", "mirror/science/lab", True, False),
    ]
    assert [one.path for one in found.sources("quay.io/team/x")] == ["x", "team/x"]
    assert [one.host for one in found.sources("quay.io/teamwork/x")] == ["quay.io"]


def test_a_blocked_registry_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"bad\.example is blocked by") as caught:
        read(tmp_path, EXAMPLE).sources("bad.example/x")
    assert "remove blocked = true" in caught.value.hint


def test_an_impossible_port_is_told() -> None:
    with pytest.raises(RegistryError, match="beyond 65535"):
        Settings().sources("registry.lab:99999/x")
    for one in (Registry("a.lab", location="b.lab:99999"), Registry("a.lab", mirrors=(Mirror("b.lab:99999/x"),))):
        with pytest.raises(RegistryError, match=r"b\.lab:99999 has a port beyond 65535"):
            Settings(registries=(one,)).sources("a.lab/x")


@pytest.mark.parametrize(
    "host, expected",
    [
        ("localhost", True), ("localhost:5000", True), ("127.0.0.1:5000", True), ("127.9.9.9", True), ("[::1]:5000", True),
        ("x.localhost", True), ("registry.lab", False), ("localhost.lab", False), ("128.0.0.1", False), ("[::2]", False),
    ],
)  # fmt: skip
def test_loopback_is_insecure_by_itself(host: str, expected: bool) -> None:
    assert Settings().insecure(host) is expected


def test_loopback_with_a_ca_is_not(tmp_path: Path) -> None:
    known = Settings(registries=(Registry("localhost:5000", ca="/ca.pem"),), certs=(str(tmp_path),))
    assert known.insecure("localhost:5000") is False
    (tmp_path / "localhost:6000").mkdir()
    assert known.insecure("localhost:6000") is False
    assert known.insecure("localhost:7000") is True
    assert known.insecure("localhost:5000", True) is True


def test_a_ca_is_known_wherever_the_registry_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Settings(
        registries=(
            Registry("docker.io", ca="/hub.pem"), Registry("quay.io/team", ca="/team.pem"), Registry("*.lab", ca="/lab.pem"),
            Registry("a.b", location="10.0.0.1:5000/x", ca="/ab.pem"),
        )
    )  # fmt: skip
    hosts = ("registry-1.docker.io", "quay.io", "x.lab", "10.0.0.1:5000", "a.b", "other")
    found = [[str(path) for path in known.trusted(host)] for host in hosts]
    assert found == [["/hub.pem"], ["/team.pem"], ["/lab.pem"], ["/ab.pem"], ["/ab.pem"], []]


@pytest.mark.as_user
def test_a_folder_where_we_may_not_look_is_none(tmp_path: Path) -> None:
    (tmp_path / "closed/a.b").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    try:
        assert Settings(certs=(str(tmp_path / "closed"),)).trusted("a.b") == []
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_wildcard_stands_for_the_hosts_below() -> None:
    known = Settings(registries=(Registry("*.lab", insecure=True), Registry("a.lab", insecure=False)))
    assert [known.insecure(host) for host in ("b.lab", "a.lab", "lab", "xlab")] == [True, False, False, False]
    assert known.sources("b.lab/x/y")[-1].path == "x/y"
    moved = Settings(registries=(Registry("*.lab", location="c.org/all", mirrors=(Mirror("m.org"),)),))
    assert [(one.host, one.path) for one in moved.sources("b.lab/x/y")] == [("m.org", "x/y"), ("c.org", "all/x/y")]


def test_what_a_short_name_means(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    assert [str(one) for one in candidates("nginx:1", found)] == ["docker.io/library/nginx:1", "quay.io/nginx:1"]
    assert [str(one) for one in candidates("a/b", found)] == ["docker.io/a/b:latest", "quay.io/a/b:latest"]
    assert [str(one) for one in candidates("lab:2", found)] == ["registry.lab:5000/science/lab:2"]
    digest = "sha256:" + "a" * 64
    assert [str(one) for one in candidates(f"lab@{digest}", found)] == [f"registry.lab:5000/science/lab@{digest}"]
    assert [str(one) for one in candidates("ghcr.io/a/b:c", found)] == ["ghcr.io/a/b:c"]
    assert [str(one) for one in candidates("docker.io/nginx", found)] == ["docker.io/library/nginx:latest"]
    with pytest.raises(InvalidArgument, match="lower case"):
        candidates("Nginx", found)
