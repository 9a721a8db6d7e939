"""Output in batches: whole characters, order, and an end."""

from __future__ import annotations

import pytest

from nbcontainers.magics.stream import Stream


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_characters_cut_between_reads_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(100)
    euro = "€".encode()
    stream.stdout(b"a" + euro[:1])
    stream.stdout(euro[1:] + b"\n")
    stream.stderr(b"\xff\n")
    stream.stdout(euro[:2])
    stream.close()
    assert capsys.readouterr() == ("a€\n\ufffd", "\ufffd\n")


def test_a_batch_is_written_after_a_tenth_of_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    stream = Stream(100, clock)
    clock.now = 5.0
    stream.stdout(b"1\n")
    assert capsys.readouterr().out == "1\n", "the first at once"
    stream.stdout(b"2\n")
    stream.tick()
    assert capsys.readouterr().out == ""
    clock.now = 5.11
    stream.tick()
    assert capsys.readouterr().out == "2\n"


def test_lines_beyond_the_cap_are_counted_and_the_last_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(10)
    for i in range(1000):
        stream.stdout(b"%d\n" % i)
    stream.close("`c.logs()`")
    out, err = capsys.readouterr()
    assert out.split() == [str(i) for i in (*range(10), *range(980, 1000))]
    assert err == "… 970 lines omitted, `c.logs()`\n"


def test_one_big_chunk_is_cut_too(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(10)
    stream.stdout(b"".join(b"%d\n" % i for i in range(1000)))
    stream.close()
    out, err = capsys.readouterr()
    assert out.split() == [str(i) for i in (*range(10), *range(980, 1000))]
    assert err == "… 970 lines omitted\n"


def test_a_few_lines_too_many_are_all_shown(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(10)
    stream.stdout(b"".join(b"%d\n" % i for i in range(15)))
    stream.close()
    out, err = capsys.readouterr()
    assert out.split() == [str(i) for i in range(15)]
    assert err == ""


def test_output_without_line_ends_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(10)
    for _ in range(100):
        stream.stdout(b"\rprogress" * 10000)
    stream.close()
    assert len(capsys.readouterr().out) < 200_000


def test_alternating_streams_make_few_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Sink:
        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None: ...

    monkeypatch.setattr("sys.stdout", Sink())
    monkeypatch.setattr("sys.stderr", Sink())
    clock = Clock()
    stream = Stream(10**6, clock)
    for i in range(1000):
        stream.stdout(b"o%d\n" % i)
        stream.stderr(b"e%d\n" % i)
    stream.close()
    assert len(written) <= 2
    assert "".join(written).count("\n") == 2000
