"""SOURCE_DATE_EPOCH: what is made is as old as it says."""

from __future__ import annotations

import pytest

from nbcontainers.oci.image import created, epoch


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "\u00b2", "9" * 12, "9" * 5000])
def test_what_is_no_time_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    assert epoch() is None
    assert created(0) == "1970-01-01T00:00:00Z"
    assert created().startswith("2")


def test_it_is_the_time_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert epoch() == 1_700_000_000
    assert created() == created(5) == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 11)
    assert created() == "5138-11-16T09:46:39Z"
