"""One browser: what waits to be sent to it. It holds at most one picture, the newest."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web

MAX_IN_FLIGHT = 2
"""Pictures that were sent and not yet shown."""
MAX_TEXTS = 20
SEND_TIMEOUT = 10.0
"""Seconds after which a browser that does not read is dropped."""


class Client:
    """Frames go out only as fast as the browser says that it has shown them; older ones are skipped."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._texts: deque[str] = deque(maxlen=MAX_TEXTS)
        self._picture: bytes | None = None
        self._on_the_way = 0
        self._wake = asyncio.Event()
        self.watching = True
        self.number = -1
        """Of the newest frame that was offered."""

    @property
    def wants_picture(self) -> bool:
        return self.watching and self._picture is None and self._on_the_way < MAX_IN_FLIGHT

    def offer(self, number: int, picture: bytes) -> None:
        self.number, self._picture = number, picture
        self._wake.set()

    def tell(self, text: str) -> None:
        self._texts.append(text)
        self._wake.set()

    def seen(self) -> bool:
        """The browser has shown a picture; False where none was on its way."""
        if self._on_the_way == 0:
            return False
        self._on_the_way -= 1
        return True

    async def send(self) -> None:
        """Send what there is, for ever. Raises TimeoutError or ConnectionError when the browser takes nothing."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await asyncio.wait_for(self._socket.send_str(self._texts.popleft()), SEND_TIMEOUT)
            if self._picture is not None:
                picture, self._picture = self._picture, None
                self._on_the_way += 1
                await asyncio.wait_for(self._socket.send_bytes(picture), SEND_TIMEOUT)
