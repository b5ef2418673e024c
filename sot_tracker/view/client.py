"""What is waiting to be sent to one browser: texts, and at most one picture, the newest."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web

MAX_IN_FLIGHT = 2
"""Largest number of pictures that were sent and not yet shown."""
MAX_TEXTS = 20
SEND_TIMEOUT = 10.0
"""Seconds after which a browser that does not read is dropped."""


class Client:
    """Sends frames only as fast as the browser acknowledges them; older ones are skipped."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._texts: deque[str] = deque(maxlen=MAX_TEXTS)
        self._picture: bytes | None = None
        self._in_flight = 0
        self._wake = asyncio.Event()
        self.watching = True
        self.number = -1
        """Number of the newest frame that was offered."""

    @property
    def wants_picture(self) -> bool:
        return self.watching and self._picture is None and self._in_flight < MAX_IN_FLIGHT

    def offer(self, number: int, picture: bytes) -> None:
        self.number, self._picture = number, picture
        self._wake.set()

    def tell(self, text: str) -> None:
        self._texts.append(text)
        self._wake.set()

    def seen(self) -> bool:
        """Take the browser's acknowledgement of a picture. Returns False if none was in flight."""
        if self._in_flight == 0:
            return False
        self._in_flight -= 1
        return True

    async def send(self) -> None:
        """Send everything that is waiting, without end.

        Raises TimeoutError or ConnectionError if the browser stops reading.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await asyncio.wait_for(self._socket.send_str(self._texts.popleft()), SEND_TIMEOUT)
            if self._picture is not None:
                picture, self._picture = self._picture, None
                self._in_flight += 1
                await asyncio.wait_for(self._socket.send_bytes(picture), SEND_TIMEOUT)
