"""The page in a real browser, with a real tracker behind it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest

from sot_tracker.box import Box
from sot_tracker.opencv import OpenCVTracker
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.live import LiveFollower

from ros_clips import box_at, frame

pytest.importorskip("aiohttp", reason="aiohttp is not here: pip install 'sot_tracker[view]'")

from sot_tracker.view.config import ViewConfig
from sot_tracker.view.server import Facts, ViewServer

from browser import Page, browser, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not here: apt install chromium"),
]
STEP = 66_000_000  # nanoseconds between frames
SLOW = 4  # frames until the square moves on: where it was is where it still is when the mouse gets there
STATE = "element('state').dataset.state"
CORNERS = """(() => {
  const area = canvas.getBoundingClientRect(), zoom = Math.min(area.width / canvas.width, area.height / canvas.height);
  const left = area.left + (area.width - zoom * canvas.width) / 2;
  const top = area.top + (area.height - zoom * canvas.height) / 2;
  return [left, top, zoom, Number(shown.facts.stamp)];
})()"""


class Square:
    """The moving square, for ever."""

    name, fps, size, length, live, files = "square", 1e9 / STEP, (160, 120), None, False, ()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            yield Frame(index * STEP, lambda index=index: frame(index // SLOW), size=self.size)
            index += 1

    def close(self) -> None:
        """Nothing is open."""


class Site:
    """A live tracker and a server that can be taken away and come back on the same port."""

    def __init__(self) -> None:
        self.server: ViewServer | None = None
        self.port = 0
        self.follower = LiveFollower(
            Square(),
            OpenCVTracker("kcf"),
            OpenCVTracker,
            lambda report: self.server.publish(report) if self.server else None,
            lambda text: self.server.say(text) if self.server else None,
        )

    def up(self) -> str:
        """The page's address."""
        facts = Facts("square", "kcf", ("kcf", "mil"))
        server = ViewServer(ViewConfig(port=self.port), self.follower, facts).__enter__()
        self.port, self.server = server._port, server
        return server.url

    def down(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.__exit__()


@asynccontextmanager
async def opened(width: int = 1280, height: int = 720) -> AsyncIterator[tuple[Page, Site]]:
    site = Site()
    with ExitStack() as stack:
        stack.callback(site.down)
        url = site.up()
        stack.enter_context(site.follower)
        async with browser(width, height) as page:
            await page.open(url)
            await page.until(
                "typeof shown !== 'undefined' && shown !== null && element('source').textContent === 'square'"
            )
            yield page, site


async def corners(page: Page) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the square's corners are in the window now."""
    left, top, zoom, stamp = await page.value(CORNERS)
    x1, y1, x2, y2 = box_at(round(stamp / STEP) // SLOW).xyxy
    return (left + zoom * x1, top + zoom * y1), (left + zoom * x2, top + zoom * y2)


async def overlap(page: Page) -> float:
    """Of the box that the page shows with the true one."""
    box, stamp = await page.value("[shown.facts.box, Number(shown.facts.stamp)]")
    return Box.from_xywh(box).iou(box_at(round(stamp / STEP) // SLOW))


async def press(page: Page, button: str) -> None:
    """Click a button with the mouse."""
    where = (
        f"(() => {{ const a = element('{button}').getBoundingClientRect(); return [a.x + a.width / 2, a.y + 9]; }})()"
    )
    x, y = await page.value(where)
    await page.mouse("mousePressed", x, y)
    await page.mouse("mouseReleased", x, y)


def test_draw_track_stop_lose_the_connection_and_come_back() -> None:
    async def story() -> None:
        async with opened() as (page, site):
            assert await page.value(STATE) == "IDLE"
            assert await page.value("getComputedStyle(element('hint')).display") != "none"
            await page.drag(*await corners(page))
            await page.until(f"{STATE} === 'TRACKING'")
            assert await overlap(page) > 0.5
            before = int(await page.value("shown.facts.stamp"))
            await page.until(f"Number(shown.facts.stamp) > {before + 5 * STEP}")
            assert await overlap(page) > 0.5
            assert await page.value("samples.filter((s) => s.state === 'TRACKING').length") > 3
            assert await page.value("element('hint').hidden && element('banner').hidden")

            await asyncio.to_thread(site.down)
            await page.until(f"{STATE} === 'OFFLINE'")
            assert "Connection lost" in await page.value("element('banner').textContent")
            assert await page.value("element('stop').disabled")
            site.up()
            await page.until(f"{STATE} === 'TRACKING' && element('banner').hidden")
            assert await overlap(page) > 0.5

            await press(page, "stop")
            await page.until(f"{STATE} === 'IDLE'")
            (x1, y1), (x2, y2) = await corners(page)  # a click in the middle of it
            await page.mouse("mousePressed", (x1 + x2) / 2, (y1 + y2) / 2)
            await page.mouse("mouseReleased", (x1 + x2) / 2, (y1 + y2) / 2)
            await page.until(f"{STATE} !== 'IDLE'")
            assert await overlap(page) > 0.3

    asyncio.run(story())


def test_a_phone_draws_with_a_finger_chooses_a_model_and_records(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(390, 844) as (page, site):
            await page.call("Emulation.setTouchEmulationEnabled", enabled=True)
            assert await page.value("document.documentElement.scrollWidth <= 390")
            await page.touch_drag(*await corners(page))
            await page.until(f"{STATE} === 'TRACKING'")
            assert await overlap(page) > 0.5

            await page.value("element('model').value = 'mil'; element('model').dispatchEvent(new Event('change'))")
            await page.until("element('note').textContent === 'mil is loaded'")
            assert site.follower._follower._tracker.info.name == "mil"
            await page.value("element('model').value = 'kcf'; element('model').dispatchEvent(new Event('change'))")
            await page.until("element('note').textContent === 'kcf is loaded'")

            await recorded(page, tmp_path)

    asyncio.run(story())


async def recorded(page: Page, folder: Path) -> None:
    """Record a clip; what the browser offers to save is a video of the right size."""
    await page.value("URL.createObjectURL = (blob) => { window.clip = blob; return 'blob:none'; }")
    await page.value("HTMLAnchorElement.prototype.click = function () { window.saved = this.download; }")
    await press(page, "record")
    assert await page.value("element('record-text').textContent") == "Save clip"
    before = int(await page.value("shown.facts.stamp"))
    await page.until(f"Number(shown.facts.stamp) > {before + 15 * STEP}")
    await press(page, "record")
    await page.until("typeof clip !== 'undefined' && typeof saved !== 'undefined'")
    data = await page.value(
        """clip.arrayBuffer().then((all) => {
          let text = "";
          for (const byte of new Uint8Array(all)) text += String.fromCharCode(byte);
          return btoa(text);
        })"""
    )
    name = await page.value("saved")
    path = folder / name
    path.write_bytes(base64.b64decode(data))
    assert path.stem.startswith("sot_tracker_2")
    capture: Any = cv2.VideoCapture(str(path))
    count = 0
    while (read := capture.read())[0]:
        assert read[1].shape == (120, 160, 3)
        count += 1
    assert count >= 2  # a loaded machine's browser leaves pictures out
