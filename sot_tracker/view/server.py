"""The page's web server: aiohttp in a thread of its own, with its own event loop.

Reports are passed to `publish`, from any thread; it returns at once. A frame is encoded only if a browser is ready for
one, and then only the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
from aiohttp import WSCloseCode, WSMsgType, web

from sot_tracker.box import Box
from sot_tracker.errors import UserError, one_line
from sot_tracker.stream.object_at import object_at
from sot_tracker.stream.reports import Answer, Control, Report
from sot_tracker.stream.requests import Request
from sot_tracker.view.access import Access, address_to_open
from sot_tracker.view.client import SEND_TIMEOUT, Client
from sot_tracker.view.config import ViewConfig
from sot_tracker.view.pages import PAGE, TOO_MANY, WRONG_TOKEN, headers, on_page, turned_away
from sot_tracker.view.pictures import jpeg_of
from sot_tracker.view.wire import (
    MAX_BYTES,
    Choose,
    Command,
    Point,
    Seen,
    Start,
    Stop,
    Watch,
    box_around,
    command_of,
    frame_message,
    text_of,
)

log = logging.getLogger(__name__)

POINT_SIZE = 0.2
"""Side of the box around a click where no object is found, as a share of the frame's shorter side."""
RECENT = 8
"""Number of recent frames that are kept, since the user clicks in a picture that is slightly old."""
COMMANDS_PER_SECOND = 5.0
"""Largest mean rate of requests of one browser; `seen` does not count."""
_BURST = 10.0
_START_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows besides frames. name: of the source. models: offered in a list, which may be empty."""

    name: str
    model: str
    models: tuple[str, ...]


class ViewServer:
    """A context manager in whose block the page is served. `url` is known in the block.

    Entering it raises UserError if the server cannot listen on the address.
    """

    def __init__(self, config: ViewConfig, control: Control, facts: Facts) -> None:
        self._config, self._control, self._facts = config, control, facts
        self._access = Access.of(config)
        self._clients: list[Client] = []
        self._newest: tuple[int, Report] | None = None
        self._recent: deque[Report] = deque(maxlen=RECENT)
        self._count = 0
        self._click: asyncio.Future[None] | None = None
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="jpeg")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="view", daemon=True)
        self._runner: web.AppRunner | None = None
        self._port = config.port

    def __enter__(self) -> ViewServer:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(_START_TIMEOUT)
        except OSError as error:
            self._end_loop()
            where = f"{self._config.host}:{self._config.port}"
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise UserError(f"the page cannot listen on {where}: {reason or error}") from None
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_START_TIMEOUT)
        self._end_loop()

    @property
    def url(self) -> str:
        """The page's address, with the token if one is needed."""
        host = address_to_open(self._config.host)
        token = f"/#{self._access.token}" if self._access.token else "/"
        return f"http://{host}:{self._port}{token}"

    @property
    def is_watched(self) -> bool:
        """Whether a browser is showing the pictures."""
        return any(client.watching for client in list(self._clients))

    def publish(self, report: Report) -> None:
        """Offer a frame to every browser that is ready for it. May be called from any thread."""
        self._count += 1
        self._newest = (self._count, report)
        self._recent.append(report)
        if self._clients:
            self._call(self._wake.set)

    def show_model(self, name: str) -> None:
        """Show the name of the model on every page. May be called from any thread."""
        self._call(self._take_model, name)

    def say(self, text: str) -> None:
        """Show a line on every page. May be called from any thread."""
        self._call(self._tell_all, text_of(note=one_line(text)))

    def _call(self, action: Any, *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(action, *arguments)

    def _tell_all(self, text: str) -> None:
        for client in self._clients:
            client.tell(text)

    async def _open(self) -> None:
        self._wake = asyncio.Event()
        app = web.Application(client_max_size=MAX_BYTES, middlewares=[self._guard])
        app.router.add_get("/ws", self._on_socket)
        for path in PAGE:
            app.router.add_get(path, on_page)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        self._pump = asyncio.ensure_future(self._serve_pictures())

    async def _close(self) -> None:
        self._pump.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_TIMEOUT)
        self._loop.close()
        self._encoder.shutdown(wait=False)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse who asks for another name than ours; add the headers that keep others' content off the page."""
        host = request.headers.get("Host")
        if not self._access.allows_host(host):
            return web.Response(
                status=403, text="This name is not known here: ask by address, or see option 'names'.\n"
            )
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers.update(headers(str(host)))
        return response

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if not self._access.allows_origin(request.headers.get("Origin"), request.headers.get("Host")):
            return web.Response(status=403, text="Only our own page may connect.\n")
        if not self._access.allows_token(request.query.get("token", "")):
            return await turned_away(request, WRONG_TOKEN, b"the token is missing or wrong")
        if len(self._clients) >= self._config.clients:
            return await turned_away(request, TOO_MANY, b"too many browsers are connected")
        # Compression would cost more than it saves: nearly all bytes are JPEG already.
        socket = web.WebSocketResponse(max_msg_size=MAX_BYTES, heartbeat=SEND_TIMEOUT, compress=False, timeout=1.0)
        client = Client(socket)
        self._clients.append(client)  # before the first await: the limit holds for who comes at the same time
        try:
            await socket.prepare(request)
            await self._converse(client, socket, request)
        finally:
            self._clients.remove(client)
        return socket

    async def _converse(self, client: Client, socket: web.WebSocketResponse, request: web.Request) -> None:
        facts = {"name": self._facts.name, "model": self._facts.model, "models": self._facts.models}
        client.tell(text_of(hello=facts))
        self._wake.set()
        sending = asyncio.ensure_future(_send(client, request))
        allowance, before = _BURST, self._loop.time()
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                try:
                    command = command_of(message.data)
                except UserError as error:
                    client.tell(text_of(note=str(error)))
                    command = None
                if isinstance(command, Seen) and client.seen():
                    self._wake.set()
                    continue
                now = self._loop.time()
                allowance, before = min(_BURST, allowance + (now - before) * COMMANDS_PER_SECOND) - 1, now
                if allowance < 0:
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many requests")
                elif command is not None:
                    self._obey(client, command)
        finally:
            sending.cancel()

    def _obey(self, client: Client, command: Command) -> None:
        def answer(reason: str) -> None:
            if reason:
                self._call(client.tell, text_of(note=reason))

        if isinstance(command, Watch):
            client.watching = command.on
            self._wake.set()
            return
        if self._click is not None:  # a new command replaces a click whose object is still being searched for
            self._click.cancel()
        if isinstance(command, Start):
            self._control.start(command.request, answer)
        elif isinstance(command, Point):
            self._click = asyncio.ensure_future(self._start_at(client, command, answer))
        elif isinstance(command, Stop):
            self._control.stop(answer)
        elif isinstance(command, Choose):
            self._choose(client, command.model)

    async def _start_at(self, client: Client, point: Point, answer: Answer) -> None:
        """Start on the object at a click, in the frame in which the user clicked, or else the newest."""
        reports = [report for report in self._recent if report.frame is not None and report.size is not None]
        if not reports:
            answer("no frame came yet")
            return
        report = next((report for report in reports if report.stamp == point.stamp), reports[-1])
        box = await self._loop.run_in_executor(None, _object_at, report, point.x, point.y)
        if box is None:
            client.tell(text_of(note="no object was found there: starting on a square around the click"))
            assert report.size is not None
            box = box_around(point.x, point.y, report.size, POINT_SIZE)
        self._control.start(Request(box, report.stamp), answer)

    def _choose(self, client: Client, model: str) -> None:
        def answer(reason: str) -> None:
            self._call(self._chosen, client, model, reason)

        if model not in self._facts.models:
            answer(f"there is no model '{model}' here")
            return
        client.tell(text_of(note=f"loading {model} ..."))
        self._control.choose(model, answer)

    def _chosen(self, client: Client, model: str, reason: str) -> None:
        if reason:
            client.tell(text_of(note=reason))
        else:
            self._tell_all(text_of(note=f"{model} is loaded"))
        # After a failure too, since the list of the page that chose the model shows its name.
        self._take_model(self._facts.model if reason else model)

    def _take_model(self, name: str) -> None:
        self._facts = replace(self._facts, model=name)
        self._tell_all(text_of(model=name))

    async def _serve_pictures(self) -> None:
        """Encode the newest frame whenever a browser is ready for a new one, at most `fps` times per second."""
        due = 0.0
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if self._newest is None:
                continue
            number, report = self._newest
            if not [client for client in self._clients if client.wants_picture and client.number < number]:
                continue
            # A frame may be 2 ms early. Otherwise, at the camera's own rate, every second one would be skipped.
            due = self._loop.time() + 1.0 / self._config.fps - 0.002
            await self._offer(number, report)

    async def _offer(self, number: int, report: Report) -> None:
        try:
            jpeg = await self._loop.run_in_executor(
                self._encoder, jpeg_of, report, self._config.width, self._config.quality
            )
        except (UserError, cv2.error) as error:
            log.debug("a frame cannot be shown: %s", error)
            return
        message = frame_message(report, jpeg)
        for client in self._clients:
            if client.wants_picture and client.number < number:
                client.offer(number, message)


def _object_at(report: Report, x: float, y: float) -> Box | None:
    """The object at that point of the frame; this takes some tenths of a second."""
    try:
        return None if report.frame is None else object_at(report.frame.image, x, y)
    except (UserError, cv2.error):  # the frame cannot be decoded
        return None


async def _send(client: Client, request: web.Request) -> None:
    """Send until the browser disconnects or does not read any more."""
    try:
        await client.send()
    except (asyncio.TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()  # closing would wait until the browser has read everything
