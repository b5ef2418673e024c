"""The page's server over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.reports import Report
from sot_tracker.stream.requests import Request

aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not here: pip install 'sot_tracker[view]'")

from sot_tracker.view import client as view_client  # noqa: E402
from sot_tracker.view import server as view_server  # noqa: E402
from sot_tracker.view.config import ViewConfig  # noqa: E402
from sot_tracker.view.pages import TOO_MANY, WRONG_TOKEN  # noqa: E402
from sot_tracker.view.server import Facts, ViewServer  # noqa: E402
from sot_tracker.view.wire import MAX_BYTES  # noqa: E402

from ros_clips import box_at  # noqa: E402
from view_peer import PATIENCE, Asked, Peer, report  # noqa: E402

FACTS = Facts("clip.mp4", "lite", ("lite", "kcf"))
Talk = Callable[[ViewServer, "Net"], Coroutine[Any, Any, None]]


class Net:
    """HTTP and WebSocket to one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.base, _, self.token = url.partition("/#")
        self.base = self.base.rstrip("/")

    async def get(self, path: str = "/", **headers: str) -> tuple[int, str, Any]:
        async with self._session.get(self.base + path, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers

    async def connect(self, origin: str | None = "", token: str | None = None, host: str = "") -> Peer:
        headers = {} if origin is None else {"Origin": origin or (f"http://{host}" if host else self.base)}
        headers.update({"Host": host} if host else {})
        given = self.token if token is None else token
        url = f"{self.base}/ws?token={given}"
        return Peer(await self._session.ws_connect(url, headers=headers, max_msg_size=0))


def talk(coroutine: Talk, control: Asked | None = None, **options: Any) -> None:
    """Run a server on a free port, and somebody who talks to it."""

    async def run(server: ViewServer) -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(coroutine(server, Net(session, server.url)), 2 * PATIENCE)

    with ViewServer(ViewConfig(port=0, **options), control or Asked(), FACTS) as server:
        asyncio.run(run(server))


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


# ---- what it serves


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/view.js", "text/javascript"), ("/view.css", "text/css")]
)
def test_the_page_and_its_headers(path: str, kind: str) -> None:
    async def check(server: ViewServer, net: Net) -> None:
        status, text, headers = await net.get(path)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
        assert len(text) > 1000
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"

    talk(check)


@pytest.mark.parametrize("path", ["/../config.py", "/page/view.js", "/ws/", "/view.py", "/%2e%2e/server.py"])
def test_nothing_else_is_served(path: str) -> None:
    async def check(server: ViewServer, net: Net) -> None:
        assert (await net.get(path))[0] == 404

    talk(check)


def test_a_frame_arrives_with_its_facts() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        assert await peer.text() == {"hello": {"name": "clip.mp4", "model": "lite", "models": ["lite", "kcf"]}}
        server.publish(report(3))
        facts, jpeg = await peer.frame()
        assert (facts["stamp"], facts["state"], facts["size"], facts["score"]) == ("3", "TRACKING", [160, 120], 0.75)
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (120, 160, 3)

    talk(check)


def test_who_comes_later_gets_the_last_frame() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        server.publish(report(5))
        assert (await (await net.connect()).frame())[0]["stamp"] == "5"

    talk(check)


def test_wide_pictures_are_shrunk_and_boxes_stay_in_pixels_of_the_frame() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        server.publish(report(0, box=Box(100, 20, 30, 40)))
        facts, jpeg = await peer.frame()
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)
        assert (facts["size"], facts["box"]) == ([160, 120], [100, 20, 30, 40])

    talk(check, width=80)


# ---- what it is asked


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ({"do": "start", "box": [1, 2, 3, 4], "stamp": "9"}, ("start", Request(Box(1, 2, 3, 4), 9))),
        ({"do": "stop"}, ("stop", None)),
        ({"do": "model", "name": "kcf"}, ("choose", "kcf")),
    ],
)
def test_commands_reach_the_tracker(message: dict[str, Any], call: tuple[str, Any]) -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        server.publish(report(0))
        await peer.frame()
        await peer.send(**message)
        assert await control.next() == call

    talk(check, control)


def test_a_click_starts_on_the_object_in_the_frame_that_was_clicked_in() -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        for index in (0, 3, 9):
            server.publish(report(index))
        center = box_at(3).center
        await peer.send(do="point", at=[*center], stamp="3")
        what, request = await control.next()
        assert (what, request.stamp) == ("start", 3)
        assert request.box.iou(box_at(3)) > 0.5

    talk(check, control)


def test_a_stop_right_after_a_click_is_the_last_word() -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        server.publish(report(0))
        await peer.send(do="point", at=[*box_at(0).center], stamp="0")
        await peer.send(do="stop")
        assert await control.next() == ("stop", None)
        await peer.send(do="start", box=[1, 2, 3, 4])  # had the click been heard, its start would come before
        assert (await control.next())[1] == Request(Box(1, 2, 3, 4))

    talk(check, control)


def test_a_click_on_nothing_starts_on_a_square_and_says_so() -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        grey = np.full((120, 160, 3), 90, np.uint8)
        server.publish(Report(7, (160, 120), frame=Frame(7, lambda: grey)))
        await peer.send(do="point", at=[80, 60], stamp="5")
        assert await control.next() == ("start", Request(Box(68, 48, 24, 24), 7))
        assert "no object" in (await note_of(peer))["note"]

    talk(check, control)


@pytest.mark.parametrize(
    "message", [{"do": "start", "box": [1, 2, 3, 4]}, {"do": "stop"}, {"do": "model", "name": "kcf"}]
)
def test_a_refusal_is_shown_to_who_asked_and_to_nobody_else(message: dict[str, Any]) -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer, other = await net.connect(), await net.connect()
        assert "hello" in await peer.text()
        assert "hello" in await other.text()
        await peer.send(**message)
        notes = [await peer.text()]
        if message["do"] == "model":
            notes.append(await peer.text())
            assert await peer.text() == {"model": "lite"}
            assert await other.text() == {"model": "lite"}  # a list that shows the wrong name is put right
        assert notes[-1] == {"note": "the reason"}
        server.say("for all")
        assert await other.text() == {"note": "for all"}

    talk(check, Asked("the reason"))


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ({"do": "model", "name": "../../weights"}, "there is no model '../../weights' here"),
        ({"do": "point", "at": [1, 2]}, "no frame came yet"),
        ({"do": "fly"}, "message not understood"),
    ],
)
def test_what_cannot_be_asked_is_one_note(message: dict[str, Any], note: str) -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        await peer.text()
        await peer.send(**message)
        assert note in (await peer.text())["note"]
        assert control.calls.empty()

    talk(check, control)


def test_a_model_that_was_loaded_is_reported_to_all_and_to_who_comes_later() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer, other = await net.connect(), await net.connect()
        assert "hello" in await other.text()
        await peer.send(do="model", name="kcf")
        assert await other.text() == {"note": "kcf is loaded"}
        assert await other.text() == {"model": "kcf"}
        assert (await (await net.connect()).text())["hello"]["model"] == "kcf"

    talk(check)


# ---- only while watched, and only the newest


def test_nothing_is_encoded_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    real = ViewServer._offer

    async def counted(self: ViewServer, number: int, given: Any) -> None:
        encoded.append(given.stamp)
        await real(self, number, given)

    monkeypatch.setattr(ViewServer, "_offer", counted)

    async def check(server: ViewServer, net: Net) -> None:
        for index in range(20):
            server.publish(report(index))
        peer = await net.connect()
        await peer.send(do="watch", on=False)
        await until(lambda: not server.is_watched)
        before = list(encoded)
        for index in range(20, 40):
            server.publish(report(index))
        await peer.send(do="fly")  # its note comes after everything before it
        assert "note" in await note_of(peer)
        assert encoded == before
        assert len(before) <= 1
        await peer.send(do="watch", on=True)
        while (await peer.frame())[0]["stamp"] != "39":
            pass

    talk(check)


async def note_of(peer: Peer) -> dict[str, Any]:
    while "note" not in (message := await peer.text()):
        pass
    return message


def test_a_browser_that_shows_nothing_gets_two_frames_and_then_the_newest() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        server.publish(report(0))
        assert (await peer.frame())[0]["stamp"] == "0"
        server.publish(report(1))
        assert (await peer.frame())[0]["stamp"] == "1"
        for index in range(2, 30):
            server.publish(report(index))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(peer.frame(), 0.3)
        await peer.send(do="seen")
        assert (await peer.frame())[0]["stamp"] == "29"

    talk(check)


def test_a_browser_that_does_not_read_delays_nobody() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        host, port = net.base.removeprefix("http://").split(":")
        deaf = socket.create_connection((host, int(port)))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {net.base}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        peer = await net.connect()
        await until(lambda: len(server._clients) == 2)
        slowest = 0.0
        for index in range(60):
            begin = time.perf_counter()
            server.publish(report(index))
            slowest = max(slowest, time.perf_counter() - begin)
            while (await peer.frame())[0]["stamp"] != str(index):
                await peer.send(do="seen")
            await peer.send(do="seen")
        assert slowest < 0.1
        deaf.close()

    talk(check, fps=240.0)


def test_a_browser_that_claims_to_have_seen_what_it_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_client, "SEND_TIMEOUT", 0.2)
    monkeypatch.setattr(view_server, "COMMANDS_PER_SECOND", 1e6)  # this is not what ends it

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        peer.socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        begin = time.monotonic()
        big = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
        large = Report(0, (1920, 1080), frame=Frame(0, lambda: big))
        await until(lambda: len(server._clients) == 1)
        for _ in range(400):
            server.publish(large)
            await peer.send(do="seen")
            await asyncio.sleep(0.005)
            if not server._clients:
                break
        await until(lambda: not server._clients)
        assert time.monotonic() - begin < 8  # else it was the ping every ten seconds that found it out

    talk(check, fps=240.0, width=1920)


def test_the_rate_is_limited() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        begin = time.monotonic()
        for index in range(4):
            server.publish(report(index))
            await peer.frame()
            await peer.send(do="seen")
        assert time.monotonic() - begin > 3 * (1 / 20 - 0.002)

    talk(check, fps=20.0)


# ---- who may use it


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "192.168.1.1:8080", "localhost:http"])
def test_another_host_is_refused(host: str) -> None:
    async def check(server: ViewServer, net: Net) -> None:
        status, text, _ = await net.get("/", Host=host)
        assert (status, "sot_tracker" in text) == (403, False)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await net.connect(host=host)
        assert refused.value.status == 403

    talk(check)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1", "null", None])
def test_another_origin_is_refused(origin: str | None) -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await net.connect(origin=origin)
        assert refused.value.status == 403
        assert not server._clients

    talk(check, control)


@pytest.mark.parametrize(
    ("options", "wrong"), [({"host": "0.0.0.0"}, ["", "x", "é"]), ({"token": "secret"}, ["", "Secret", "secret1"])]
)
def test_without_the_token_nothing_is_reported(options: dict[str, Any], wrong: list[str]) -> None:
    async def check(server: ViewServer, net: Net) -> None:
        net.base = f"http://127.0.0.1:{server._port}"
        assert net.token
        server.publish(report(0))
        for token in wrong:
            peer = await net.connect(token=token)
            assert await peer.closed() == WRONG_TOKEN
            assert not server._clients
        assert "hello" in await (await net.connect()).text()

    talk(check, **options)


def test_a_message_that_is_too_long_ends_the_connection() -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer, other = await net.connect(), await net.connect()
        await peer.socket.send_str(json.dumps({"do": "stop", "more": "x" * MAX_BYTES}))
        assert await peer.closed() == 1009
        await until(lambda: len(server._clients) == 1)
        assert control.calls.empty()
        await other.send(do="stop")
        assert await control.next() == ("stop", None)

    talk(check, control)


def test_too_many_browsers_are_turned_away_until_one_leaves() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        first, _ = await net.connect(), await net.connect()
        assert await (await net.connect()).closed() == TOO_MANY
        await first.socket.close()
        await until(lambda: len(server._clients) < 2)
        assert "hello" in await (await net.connect()).text()

    talk(check, clients=2)


@pytest.mark.parametrize("verb", ["stop", "seen", "fly"])
def test_a_flood_of_requests_ends_the_connection(verb: str) -> None:
    control = Asked()

    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        with suppress(ConnectionResetError):  # closed while the last ones are being sent
            for _ in range(60):
                await peer.send(do=verb)
        assert await peer.closed() in (1008, 1006)  # 1006: reset, since requests came after the end
        assert control.calls.qsize() < 30

    talk(check, control)


def test_binary_messages_are_ignored() -> None:
    async def check(server: ViewServer, net: Net) -> None:
        peer = await net.connect()
        await peer.socket.send_bytes(b"\0\1")
        server.publish(report(0))
        assert (await peer.frame())[0]["stamp"] == "0"

    talk(check)


def test_an_address_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*in use"):
            ViewServer(ViewConfig(port=port), Asked(), FACTS).__enter__()


def test_a_server_that_has_ended_takes_reports_without_a_word() -> None:
    server = ViewServer(ViewConfig(port=0), Asked(), FACTS)
    with server:
        pass
    server.publish(report(0))
    server.say("late")
    assert not server.is_watched
