"""Frames: whole ones come out however the bytes come in, and nobody is believed about their length."""

from __future__ import annotations

import pytest

from nbcontainers.monitor.protocol import MAX_PAYLOAD, Frames, ProtocolError, frame


def test_a_frame_is_kind_length_payload() -> None:
    assert frame(b"O", b"hello") == b"O\x00\x00\x00\x05hello"
    assert frame(b"C") == b"C\x00\x00\x00\x00"


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000])
def test_frames_come_out_whole_in_order(size: int) -> None:
    sent = [(b"O", b"one"), (b"E", b""), (b"X", b"\x00" * 300), (b"O", bytes(range(256)))]
    data = b"".join(frame(*one) for one in sent)
    frames, found = Frames(), []
    for at in range(0, len(data), size):
        found += list(frames.feed(data[at : at + size]))
    assert found == sent
    assert not frames.buffer


def test_a_length_beyond_the_limit_is_refused_before_it_is_read() -> None:
    frames = Frames(MAX_PAYLOAD)
    with pytest.raises(ProtocolError, match=r"4294967295 bytes; at most 1048576 are allowed"):
        list(frames.feed(b"I\xff\xff\xff\xff"))
