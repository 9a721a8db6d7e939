"""Live views without a browser: messages go through a comm of the test's own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from comm.base_comm import BaseComm

from nbcontainers import view, widgets
from nbcontainers.errors import InvalidState, NotFound
from nbcontainers.view import WIDGET
from nbcontainers.widgets import live, page, wire
from nbcontainers.widgets.live import Binary, Clock, Gone, Live, action


class Comm(BaseComm):
    """What would have gone to the pages."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.sent: list[tuple[str, dict[str, Any], list[bytes]]] = []
        super().__init__(*arguments, **options)

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogateescape")  # as jupyter_client does
        self.sent.append((msg_type, data or {}, buffers or []))

    def contents(self) -> list[dict[str, Any]]:
        return [data["content"] for _, data, _ in list(self.sent) if data.get("method") == "custom"]


class Probe(Live):
    """A view whose facts the test sets."""

    interval = 0.25
    made: list[Probe] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts: Any = {"name": name}
        self.looks = 0
        self.at_once = 0
        self.most_at_once = 0
        self.ended = 0
        self.done: list[int] = []
        Probe.made.append(self)

    def look(self) -> Any:
        self.looks += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if isinstance(self.facts, Exception):
                raise self.facts
            return self.facts
        finally:
            self.at_once -= 1

    @action
    def add(self, number: int) -> int:
        time.sleep(0.01 if number % 2 else 0)
        self.done.append(number)
        return number + 1

    @action(beside=True)
    def wait(self) -> str:
        time.sleep(0.3)
        return "waited"

    @action
    def rename(self, name: str) -> None:
        self.facts = {"name": name}

    @action
    def data(self) -> Binary:
        return Binary({"length": 3}, [b"abc"])

    @action
    def bad(self) -> None:
        raise NotFound("no container 'web'", hint="container ps -a shows them")

    def closed(self) -> None:
        self.ended += 1


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[page.Page]:
    monkeypatch.setattr("comm.create_comm", lambda **options: Comm(**options))
    Probe.made = []
    found = page.Page(lambda kind: Probe)
    found.open()
    yield found
    found.close()
    until(lambda: not found.clock.running)


def until(true: Callable[[], Any], seconds: float = 5.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
    return found


def say(channel: page.Page, **content: Any) -> None:
    """As if a page had said it."""
    channel.wires[0].comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def heard(channel: page.Page, **wanted: Any) -> list[dict[str, Any]]:
    return [
        one for one in channel.wires[0].comm.contents() if all(one.get(key) == value for key, value in wanted.items())
    ]


def opened(channel: page.Page, name: str = "v", visible: bool = True) -> Probe:
    say(channel, open=name, kind="probe", **{"with": {"name": "web"}}, visible=visible)
    return Probe.made[-1]


def test_the_channel_is_a_model_of_anywidget_and_answers_a_page_that_reloads(channel: page.Page) -> None:
    kind, data, _ = channel.wires[0].comm.sent[0]
    assert (kind, channel.wires[0].comm.target_name) == ("comm_open", "jupyter.widget")
    assert data["state"]["_model_name"] == "AnyModel"
    assert "initialize({ model })" in data["state"]["_esm"]
    channel.wires[0].comm.handle_msg({"content": {"data": {"method": "request_state"}}})
    assert channel.wires[0].comm.sent[-1][1] == {"method": "update", "state": data["state"], "buffer_paths": []}


def test_facts_come_when_they_change_and_only_while_somebody_sees_them(channel: page.Page) -> None:
    probe = opened(channel)
    until(lambda: probe.looks >= 3)
    assert heard(channel, view="v") == [{"view": "v", "facts": {"name": "web"}}]
    probe.facts = {"name": "db"}
    until(lambda: len(heard(channel, view="v")) == 2)
    say(channel, see={"v": False})
    until(lambda: not channel.clock.running)
    looks = probe.looks
    time.sleep(0.3)
    assert probe.looks == looks
    say(channel, see={"v": True})
    until(lambda: probe.looks > looks)
    assert probe.most_at_once == 1


def test_one_that_nobody_sees_is_not_looked_at(channel: page.Page) -> None:
    probe = opened(channel, visible=False)
    until(lambda: not channel.clock.running)
    assert probe.looks == 0


def test_a_page_that_says_nothing_more_is_closed_but_not_while_a_cell_keeps_the_kernel_from_hearing_it(
    channel: page.Page,
) -> None:
    probe = opened(channel)
    until(lambda: probe.looks)
    channel.hold(True)
    place = channel.places["v"]
    place.seen_until = time.monotonic() - 1
    looks = probe.looks
    until(lambda: probe.looks > looks)
    channel.hold(False)
    assert place.seen_until > time.monotonic()
    place.seen_until = time.monotonic() - 1
    until(lambda: not channel.clock.running)


def test_what_was_seen_long_ago_goes_when_a_cell_is_run_also_where_no_page_says_anything_any_more(
    channel: page.Page,
) -> None:
    hidden, shown = opened(channel, "hidden", visible=False), opened(channel, "shown")
    for place in channel.places.values():
        place.last_seen = time.monotonic() - page._FORGET_S - 1
    channel.hold(True)
    until(lambda: hidden.ended)
    channel.hold(False)
    assert set(channel.places) == {"shown"}
    assert shown.ended == 0


def test_what_a_look_raises_is_shown_until_it_can_look_again(channel: page.Page) -> None:
    probe = opened(channel)
    until(lambda: probe.looks)
    probe.facts = OSError("the disk is on fire")
    until(lambda: heard(channel, trouble={"message": "OSError: the disk is on fire", "hint": ""}))
    probe.facts = {"name": "web"}
    until(lambda: len([one for one in heard(channel, view="v") if "facts" in one]) == 2)
    probe.facts = Gone("container web was removed")
    until(lambda: not channel.clock.running)
    assert heard(channel, view="v")[-1]["trouble"] == {"message": "container web was removed", "hint": "", "over": True}


def test_half_a_letter_ends_no_thread(channel: page.Page) -> None:
    """An image's config may hold one, and so may an address in a notebook."""
    probe = opened(channel)
    probe.facts = {"label": "a\ud800b\U0001f600"}
    until(lambda: heard(channel, facts={"label": "a\ufffdb\U0001f600"}))
    probe.facts = Gone("no container '\udfff'")
    until(lambda: not channel.clock.running)
    say(channel, view="v", call="add", **{"with": {"number": "\ud800"}}, reply=1)
    say(channel, view="v", call="add", **{"with": {"number": 2}}, reply=2)
    until(lambda: heard(channel, reply=2, value=3))


def test_an_end_is_told_once_for_the_notebook_to_keep(channel: page.Page) -> None:
    probe = opened(channel)
    for moment in ("12:00", "12:00", "13:00"):
        probe.settle(Shown(), moment)
    wanted = {"text/html": "<b>shown</b>", "text/plain": "shown"}
    found = [one["static"] for one in heard(channel, view="v") if "static" in one]
    assert found == [{"moment": "12:00", **wanted}, {"moment": "13:00", **wanted}]


def test_too_much_at_once_is_an_error(channel: page.Page) -> None:
    probe = opened(channel)
    probe.facts = {"rows": "x" * live.LARGEST}
    found = until(lambda: [one for one in heard(channel, view="v") if "trouble" in one])
    assert found[0]["trouble"]["message"].startswith("an update of 1000")


def test_actions_are_done_in_order_and_beside(channel: page.Page) -> None:
    probe = opened(channel)
    say(channel, view="v", call="wait", reply=100)
    for number in range(20):
        say(channel, view="v", call="add", **{"with": {"number": number}}, reply=number)
    until(lambda: heard(channel, reply=19))
    assert probe.done == list(range(20))
    assert heard(channel, reply=7) == [{"view": "v", "reply": 7, "value": 8}]
    assert not heard(channel, reply=100)
    assert until(lambda: heard(channel, reply=100))[0]["value"] == "waited"
    say(channel, view="v", call="data", reply=101)
    until(lambda: heard(channel, reply=101))
    assert channel.wires[0].comm.sent[-1][2] == [b"abc"]


def test_what_an_action_did_is_seen_at_once_and_a_question_changes_nothing(
    channel: page.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "interval", 100)
    probe = opened(channel)
    until(lambda: heard(channel, facts={"name": "web"}))
    say(channel, view="v", call="add", **{"with": {"number": 2}}, reply=1)
    until(lambda: heard(channel, reply=1))
    time.sleep(2 * live.FASTEST_S)
    assert probe.looks == 1
    say(channel, view="v", call="rename", **{"with": {"name": "db"}}, reply=2)
    until(lambda: heard(channel, facts={"name": "db"}))


def test_what_an_action_did_during_a_look_is_seen_by_the_next(
    channel: page.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "interval", 100)
    probe = opened(channel, visible=False)
    looks: list[str] = []

    def look() -> dict[str, str]:
        looks.append(probe.facts["name"])
        if len(looks) == 1:
            say(channel, view="v", call="rename", **{"with": {"name": "db"}}, reply=1)
            until(lambda: heard(channel, reply=1))
        return {"name": looks[-1]}

    probe.look = look  # type: ignore[method-assign]
    say(channel, see={"v": True})
    until(lambda: heard(channel, facts={"name": "db"}))
    assert looks == ["web", "db"]


def test_however_many_actions_there_are_a_few_threads_do_them(channel: page.Page) -> None:
    probe = opened(channel)
    gate, before = threading.Event(), {*threading.enumerate()}
    probe.wait = action(beside=True)(lambda: gate.wait(30))  # type: ignore[method-assign, assignment, arg-type]
    for number in range(1000):
        say(channel, view="v", call="wait", reply=number)
    ours = [one for one in threading.enumerate() if one.name == "nbcontainers-action" and one not in before]
    assert len(ours) == page._BESIDE
    say(channel, view="v", call="add", **{"with": {"number": 2}}, reply="ordered")
    until(lambda: heard(channel, reply="ordered"))
    gate.set()
    until(lambda: len([one for one in heard(channel, view="v") if "value" in one]) == 1001)


@pytest.mark.parametrize("content", ["a view", ["view"], 7, None, True])
def test_a_message_that_is_no_object_leaves_no_traceback(channel: page.Page, content: Any) -> None:
    comm = channel.wires[0].comm
    for data in ({"method": "custom", "content": content}, content):
        comm.handle_msg({"content": {"data": data}, "buffers": []})
    assert comm.contents() == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad", {"message": "no container 'web'", "hint": "container ps -a shows them"}),
        ("look", {"message": "a view of '' has no action 'look'", "hint": ""}),
        ("__init__", {"message": "a view of '' has no action '__init__'", "hint": ""}),
        ("add", {"message": "TypeError: Probe.add() missing 1 required positional argument: 'number'", "hint": ""}),
    ],
)
def test_what_fails_is_said_to_the_page(channel: page.Page, name: str, said: dict[str, str]) -> None:
    opened(channel)
    say(channel, view="v", call=name, reply=1)
    assert until(lambda: heard(channel, reply=1))[0]["error"] == said


def test_a_view_that_is_not_known_any_more_is_lost_and_one_that_cannot_be_opened_says_why(channel: page.Page) -> None:
    say(channel, view="gone", call="add", reply=1)
    assert heard(channel, view="gone") == [{"view": "gone", "lost": True}]
    say(channel, open="w", kind="probe", **{"with": {"nonsense": 1}}, visible=True)
    assert "unexpected keyword argument 'nonsense'" in heard(channel, view="w")[0]["trouble"]["message"]


def test_closing_ends_views_thread_and_channel(channel: page.Page) -> None:
    first, second = opened(channel, "a"), opened(channel, "b")
    say(channel, close="a")
    until(lambda: first.ended == 1)
    assert second.ended == 0
    comm = channel.wires[0].comm
    channel.close()
    assert second.ended == 1
    assert comm.sent[-1][0] == "comm_close"
    until(lambda: not channel.clock.running)
    second.send({"nobody": "hears"})
    assert comm.sent[-1][0] == "comm_close"
    assert not [one for one in threading.enumerate() if one.name.startswith("nbcontainers-live")]


def test_modules_are_served_and_nothing_else() -> None:
    assert "export function mount" in wire.module("logs.js")["source"]
    assert ".nbc-logs" in wire.module("logs.js")["style"]
    for name in ("live.py", "../errors.py", "/etc/passwd", "none.js", "vendor/../live.py"):
        with pytest.raises(NotFound):
            wire.text_of(name)


def test_every_update_says_only_json() -> None:
    assert live.encoded({"a": (1, None), "b": object}) == '{"a":[1,null],"b":"<class \'object\'>"}'
    with pytest.raises(InvalidState, match="an update of 100002 bytes"):
        live.encoded("x" * 100_000)


class Slow:
    """Takes its time."""

    def __init__(self) -> None:
        self.looks = 0

    def due(self, now: float) -> float | None:
        return 0.0 if self.looks < 3 else None

    def look(self) -> None:
        self.looks += 1


def test_the_clock_has_a_thread_only_while_something_is_due() -> None:
    clock, slow = Clock(), Slow()
    assert not clock.running
    clock.add(slow)
    until(lambda: not clock.running)
    assert slow.looks == 3


class Shown(view.View):
    def text(self) -> str:
        return "shown"

    def html(self) -> str:
        return "<b>shown</b>"

    def _live_(self) -> tuple[str, dict[str, Any]] | None:
        return "probe", {"name": 'a"><script>'}


class Kernel:
    """As far as `widgets` knows one."""

    _allow_stdin = True

    def __init__(self, allow_stdin: bool) -> None:
        self.request = {"content": {"allow_stdin": allow_stdin}}

    def get_parent(self) -> dict[str, Any]:
        return self.request


@pytest.fixture
def in_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """`in_kernel(True)`: a front end looks; False: nbclient runs the cell."""
    monkeypatch.setattr("comm.create_comm", lambda **options: Comm(**options))
    monkeypatch.setattr(view, "live", widgets.bundle)

    def inside(front_end: bool) -> None:
        monkeypatch.setattr(widgets, "kernel", lambda: Kernel(front_end))

    yield inside
    widgets.close()


def test_the_html_gets_its_address_where_somebody_looks(in_kernel: Callable[[bool], None]) -> None:
    in_kernel(True)
    found = Shown()._repr_mimebundle_()
    assert set(found) == {"text/plain", "text/html"}
    assert found["text/html"].startswith('<div class="nbcontainers-live" data-nbcontainers="{&quot;kind&quot;: ')
    assert found["text/html"].endswith("<b>shown</b></div>")
    assert "<script" not in found["text/html"]


@pytest.mark.parametrize(("front_end", "mode"), [(False, "auto"), (True, "off"), (False, "off")])
def test_it_stays_static_where_nobody_looks(
    in_kernel: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, front_end: bool, mode: str
) -> None:
    in_kernel(front_end)
    monkeypatch.setattr(widgets, "mode", mode)
    assert Shown()._repr_mimebundle_() == {"text/plain": "shown", "text/html": "<b>shown</b>"}
    assert widgets._page is None


def test_on_is_a_widget_view_wherever_there_is_a_kernel(
    in_kernel: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widgets, "mode", "on")
    assert Shown()._repr_mimebundle_()["text/html"] == "<b>shown</b>"
    in_kernel(False)
    found = Shown()._repr_mimebundle_()
    assert "nbcontainers-live" in found["text/html"]
    _, model = widgets.channel().wires
    assert found[WIDGET]["model_id"] == model.id
    assert model.state()["spec"]["with"] == {"name": 'a"><script>'}


def test_every_kind_that_is_there_has_its_module() -> None:
    with pytest.raises(NotFound, match="no live view 'nonsense'"):
        widgets.kind("nonsense")
    for name in ("dashboard", "logs"):
        found = widgets.kind(name)
        assert issubclass(found, Live)
        assert found.kind == name
        assert "export function mount(live)" in wire.module(f"{name}.js")["source"]
