"""What -p, -P and --expose mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.network import ports
from nbcontainers.network.ports import Port


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", [Port("tcp", "", 0, 0, 80)]),
        (80, [Port("tcp", "", 0, 0, 80)]),
        ("8080:80", [Port("tcp", "", 8080, 8080, 80)]),
        ("8080:80/udp", [Port("udp", "", 8080, 8080, 80)]),
        ("8080:80/TCP", [Port("tcp", "", 8080, 8080, 80)]),
        ("127.0.0.1:8080:80", [Port("tcp", "127.0.0.1", 8080, 8080, 80)]),
        ("127.0.0.1::80", [Port("tcp", "127.0.0.1", 0, 0, 80)]),
        ("0.0.0.0:8080:80", [Port("tcp", "", 8080, 8080, 80)]),
        ("[::1]:8080:80", [Port("tcp", "::1", 8080, 8080, 80)]),
        ("[::]::80", [Port("tcp", "::", 0, 0, 80)]),
        ("8000-8001:80-81", [Port("tcp", "", 8000, 8000, 80), Port("tcp", "", 8001, 8001, 81)]),
        ("8000-8009:80", [Port("tcp", "", 8000, 8009, 80)]),
        ("80-81", [Port("tcp", "", 0, 0, 80), Port("tcp", "", 0, 0, 81)]),
    ],
)
def test_ports_as_docker_writes_them(text: Any, wanted: list[Port]) -> None:
    assert ports.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "8080:80"),
        (":", "8080:80"),
        ("web", "8080:80"),
        ("0:80", "1 to 65535"),
        ("65536:80", "1 to 65535"),
        ("80:65536", "1 to 65535"),
        ("99999999:80", "8080:80"),
        ("8080:80/sctp", "/tcp or /udp"),
        ("8080:80/", "/tcp or /udp"),
        ("8000-8001:80-82", "as many ports"),
        ("81-80", "1 to 65535"),
        ("1.2.3:8080:80", "127.0.0.1:8080:80"),
        ("::1:8080:80", "8080:80"),
        ("[::1]:80", "[::1]:8080:80"),
        ("[::1:8080:80", "[::1]:8080:80"),
        ("1:2:3:4", "8080:80"),
        ("8080:+80", "8080:80"),
        ("8080:８０", "8080:80"),
    ],
)
def test_what_is_no_port_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        ports.parse(text)
    assert words in str(caught.value)
    assert "; write " in str(caught.value)


@given(st.text(alphabet="0123456789:-/.[]abctdpu", max_size=30))
def test_any_text_is_ports_or_an_error(text: str) -> None:
    try:
        found = ports.parse(text)
    except ValueError:
        return
    for port in found:
        assert 1 <= port.target <= 65535
        assert port.first == port.last == 0 or 1 <= port.first <= port.last <= 65535
        assert port.protocol in ports.PROTOCOLS


@given(st.integers(1, 65535), st.integers(1, 65535), st.integers(0, 30))
def test_ranges_keep_their_pairs(outer: int, inner: int, length: int) -> None:
    if max(outer, inner) + length > 65535 or not length:
        return
    found = ports.parse(f"{outer}-{outer + length}:{inner}-{inner + length}")
    assert [(port.first, port.target) for port in found] == [(outer + n, inner + n) for n in range(length + 1)]


def test_exposed_ports_of_image_and_options() -> None:
    image = {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "x": {}, "70000": {}}}
    assert ports.all_exposed(image, [("tcp", 80), ("tcp", 81)]) == [("tcp", 80), ("tcp", 81), ("udp", 53)]
    assert ports.exposed("7000-7001/udp") == [("udp", 7000), ("udp", 7001)]
