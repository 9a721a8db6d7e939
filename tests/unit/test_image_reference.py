"""References as Docker reads them (distribution/reference), and digests."""

from __future__ import annotations

import pytest

from nbcontainers.errors import InvalidArgument
from nbcontainers.oci import digest
from nbcontainers.oci.reference import LOCAL, candidates, parse

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


def test_short_names_are_local_first() -> None:
    assert [str(one) for one in candidates("mini")] == ["localhost/mini:latest", "docker.io/library/mini:latest"]
    assert [str(one) for one in candidates("quay.io/x/y:1")] == ["quay.io/x/y:1"]
    assert str(parse("me/app", default_domain=LOCAL)) == "localhost/me/app:latest"


def test_digests() -> None:
    assert digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest.split(SHA) == ("sha256", HEX)
    assert digest.is_digest("sha512:" + "0" * 128)
    for bad in ("sha256:" + "g" * 64, "md5:" + "0" * 32, HEX, "", None, "sha256:" + "A" * 64):
        assert not digest.is_digest(bad)
    with pytest.raises(ValueError, match="no digest"):
        digest.split("sha256:../../etc/passwd")
