"""The two sides of the page's server: a browser that speaks its messages, and a tracker that notes what it is asked."""

from __future__ import annotations

import asyncio
import json
import queue
from typing import Any

import aiohttp

from sot_tracker.box import Box
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.reports import Answer, Report
from sot_tracker.stream.requests import Request

from ros_clips import box_at, frame

PATIENCE = 20.0


class Asked:
    """A `Control` that notes everything and gives the same answer to all; None does not answer."""

    def __init__(self, answer: str | None = "") -> None:
        self.calls: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.answer_with = answer

    def _note(self, what: str, value: Any, answer: Answer) -> None:
        self.calls.put((what, value))
        if self.answer_with is not None:
            answer(self.answer_with)

    def start(self, request: Request, answer: Answer) -> None:
        self._note("start", request, answer)

    def stop(self, answer: Answer) -> None:
        self._note("stop", None, answer)

    def choose(self, model: str, answer: Answer) -> None:
        self._note("choose", model, answer)

    async def next(self) -> tuple[str, Any]:
        return await asyncio.to_thread(self.calls.get, True, PATIENCE)


def report(index: int, state: str = "TRACKING", box: Box | None = None) -> Report:
    """Frame `index` of the moving square."""
    image = frame(index)
    return Report(
        stamp=index,
        size=(image.shape[1], image.shape[0]),
        state=state,
        box=box_at(index) if box is None else box,
        score=0.75,
        latency_ms=4.0,
        source="tracker",
        target_id="1",
        frame=Frame(index, lambda: image),
    )


class Peer:
    """One browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def receive(self) -> aiohttp.WSMessage:
        return await asyncio.wait_for(self.socket.receive(), PATIENCE)

    async def text(self) -> dict[str, Any]:
        """The next text message; frames before it are skipped."""
        while True:
            message = await self.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                return dict(json.loads(message.data))
            assert message.type is aiohttp.WSMsgType.BINARY, message

    async def frame(self) -> tuple[dict[str, Any], bytes]:
        """The next frame: facts and JPEG; texts before it are skipped."""
        while True:
            message = await self.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                length = int.from_bytes(message.data[:4], "little")
                return json.loads(message.data[4 : 4 + length]), message.data[4 + length :]
            assert message.type is aiohttp.WSMsgType.TEXT, message

    async def closed(self) -> int | None:
        """The code with which the server closed the connection."""
        while True:
            message = await self.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return int(message.data)
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                return self.socket.close_code
