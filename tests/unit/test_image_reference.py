"""References as Docker reads them (distribution/reference), and digests."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbcontainers.errors import InvalidArgument
from nbcontainers.oci import digest
from nbcontainers.oci.reference import LOCAL, candidates, is_repository, parse

HEX = "a" * 64
SHA = f"sha256:{HEX}"


@pytest.mark.parametrize(
    "text, normal, familiar",
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.21", "docker.io/library/nginx:1.21", "nginx:1.21"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("quay.io/a/b-c__d.e:v1", "quay.io/a/b-c__d.e:v1", "quay.io/a/b-c__d.e:v1"),
        ("localhost/mini", "localhost/mini:latest", "mini:latest"),
        ("localhost:5000/x/y:z", "localhost:5000/x/y:z", "localhost:5000/x/y:z"),
        ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1"),
        (f"nginx@{SHA}", f"docker.io/library/nginx@{SHA}", f"nginx@{SHA}"),
        (f"nginx:1@{SHA}", f"docker.io/library/nginx:1@{SHA}", f"nginx:1@{SHA}"),
        ("a/b/c/d", "docker.io/a/b/c/d:latest", "a/b/c/d:latest"),
    ],
)
def test_normal_and_familiar(text: str, normal: str, familiar: str) -> None:
    assert str(parse(text)) == normal
    assert parse(text).familiar == familiar
    assert parse(normal) == parse(text)


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no repository name"), ("Nginx", "lower case"), ("nginx:", "no tag"), ("nginx:-a", "no tag"),
        (f"nginx:{'t' * 129}", "no tag"), ("nginx@sha256:12", "no digest"), ("a//b", "no repository name"),
        ("-a", "no repository name"), ("a_-b", "no repository name"), ("../x", "no re"), ("a b", "no repository name"),
        ("x.y-/a", "no registry"), (HEX, "an id, not a name"), ("a/" * 200 + "b", "at most 255"), ("a\n", "no repository"),
        (f"a@{SHA.upper()}", "no digest"), ("nginx@", "no digest"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert why in caught.value.message
    assert "NAME[:TAG]" in caught.value.hint


@pytest.mark.parametrize(
    "text, domain, path",
    [
        ("test.com/foo", "test.com", "foo"),
        ("test_com/foo", "docker.io", "test_com/foo"),
        ("test:8080/foo", "test:8080", "foo"),
        ("192.168.1.1", "docker.io", "library/192.168.1.1"),
        ("192.168.1.1:5000/x", "192.168.1.1:5000", "x"),
        ("[2001:db8::1]/x/y", "[2001:db8::1]", "x/y"),
        ("xn--n3h.com/myimage", "xn--n3h.com", "myimage"),
        ("foo_bar.com:8080", "docker.io", "library/foo_bar.com"),
        ("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com"),
        ("a-.example/x", None, ""),
        ("example.com:port/x", None, ""),
        ("UPPER.com/x", "UPPER.com", "x"),
        ("Upper/lower/x", "Upper", "lower/x"),
        ("lower/Upper", None, ""),
        ("a/b/c:5000/d", None, ""),
        ("localhost", "docker.io", "library/localhost"),
        ("localhost/x", "localhost", "x"),
        ("LOCALHOST/x", "LOCALHOST", "x"),
        ("docker.io", "docker.io", "library/docker.io"),
        ("docker.io/library/x", "docker.io", "library/x"),
        ("index.docker.io/library/x/y", "docker.io", "library/x/y"),
        ("docker.io/", None, ""),
        ("/x", None, ""),
        ("x/", None, ""),
        ("a__b.c-d--e", "docker.io", "library/a__b.c-d--e"),
        ("a___b", None, ""),
        ("a..b", None, ""),
        ("a._b", None, ""),
        ("a.", None, ""),
        ("a-", None, ""),
        ("ä", None, ""),
        (f"me/{HEX}", "docker.io", f"me/{HEX}"),
        (f"quay.io/{HEX}", "quay.io", HEX),
        (f"docker.io/library/{HEX}", None, ""),
        (f"localhost/{HEX}", None, ""),
        (HEX[1:], "docker.io", f"library/{HEX[1:]}"),
        ("a" * 237, "docker.io", "library/" + "a" * 237),
        ("a" * 238, None, ""),
    ],
)
def test_registry_and_path_as_docker_splits_them(text: str, domain: str | None, path: str) -> None:
    if domain is None:
        with pytest.raises(InvalidArgument):
            parse(text)
    else:
        assert parse(text)[:2] == (domain, path)


_PARTS = st.from_regex(r"[a-z0-9]{1,9}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
_DOMAINS = st.sampled_from(
    ["", "docker.io/", "quay.io/", "localhost/", "localhost:5000/", "[::1]:80/", "Up/", "a.b:1/"]
)
_TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(_DOMAINS, st.lists(_PARTS, min_size=1, max_size=4), st.none() | _TAGS, st.booleans())
def test_what_is_parsed_is_written_as_it_was_meant(
    domain: str, parts: list[str], tag: str | None, digest: bool
) -> None:
    assume(domain or len(parts) == 1 or "." not in parts[0])  # it would be the registry
    text = domain + "/".join(parts) + (f":{tag}" if tag else "") + (f"@{SHA}" if digest else "")
    one = parse(text)
    assert parse(str(one)) == one
    assert (one.tag, one.digest) == (tag or ("" if digest else "latest"), SHA if digest else "")
    if one.domain == "docker.io":
        assert parse(one.familiar) == one
    assert len(one.repository) <= 255


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_says_why_not(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        assert parse(str(parse(text))) == parse(text)


def test_short_names_are_local_first() -> None:
    assert [str(one) for one in candidates("mini")] == ["localhost/mini:latest", "docker.io/library/mini:latest"]
    assert [str(one) for one in candidates("quay.io/x/y:1")] == ["quay.io/x/y:1"]
    assert str(parse("me/app", default_domain=LOCAL)) == "localhost/me/app:latest"


@pytest.mark.parametrize("text", ["a", "a/b", "h:5000/a", "docker://h:5000/a/b"])
def test_what_names_a_repository(text: str) -> None:
    assert is_repository(text)
    assert not is_repository(f"{text}:latest")
    assert not is_repository(f"{text}@sha256:{'a' * 64}")


def test_digests() -> None:
    assert digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest.split(SHA) == ("sha256", HEX)
    assert digest.is_digest("sha512:" + "0" * 128)
    for bad in ("sha256:" + "g" * 64, "md5:" + "0" * 32, HEX, "", None, "sha256:" + "A" * 64):
        assert not digest.is_digest(bad)
    with pytest.raises(ValueError, match="no digest"):
        digest.split("sha256:../../etc/passwd")
