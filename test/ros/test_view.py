"""The page's node beside a real tracker node, over real DDS and a real socket."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.options import markdown_table
from sot_tracker.view.config import ViewNodeConfig

from ros_clips import box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")
aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not here: pip install 'sot_tracker[view]'")

from sot_tracker.ros_tools import harness  # noqa: E402

from talker import PATIENCE, Talker, tracker  # noqa: E402
from view_peer import Peer  # noqa: E402


@contextmanager
def viewed(folder: Path, namespace: str, **parameters: Any) -> Iterator[tuple[subprocess.Popen[Any], str, Path]]:
    """A view node; its address and its log."""
    path = folder / "view.txt"
    words = harness.arguments({"port": 0, **parameters}, namespace)
    with path.open("w") as log, harness.process("view", words, stdout=log, stderr=subprocess.STDOUT) as child:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"open (http://\S+)/", path.read_text())):
            assert child.poll() is None, path.read_text()
            assert time.monotonic() < end, path.read_text()
            time.sleep(0.05)
        yield child, found[1], path


class Show:
    """A tracker node that is sent frames, and a browser that sees them."""

    def __init__(self, node: Talker, peer: Peer) -> None:
        self.node, self.peer, self.index = node, peer, -1

    async def next(self) -> tuple[dict[str, Any], bytes]:
        """Send a frame; what the browser is shown of it."""
        self.index += 1
        stamp = await asyncio.to_thread(self.node.send, frame(self.index))
        while True:
            facts, jpeg = await self.peer.frame()
            await self.peer.send(do="seen")
            if int(facts["stamp"]) == stamp:
                return facts, jpeg

    async def until(self, state: str) -> tuple[dict[str, Any], bytes]:
        """Send frames until one is shown with that state."""
        for _ in range(50):
            facts, jpeg = await self.next()
            if facts["state"] == state:
                return facts, jpeg
        raise AssertionError(f"state {state} never came")


@pytest.fixture(scope="module")
def site(ros_domain: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Talker, str]]:
    """A tracker node with somebody who talks to it, and the address of the page beside it."""
    folder = tmp_path_factory.mktemp("view")
    with tracker(folder, "/view_story") as (node, _), viewed(folder, "/view_story") as (_, url, _log):
        yield node.connected(), url


def play(site: tuple[Talker, str], story: Callable[[Show], Coroutine[Any, Any, None]]) -> None:
    """Connect a browser, wait until the page's node listens for it, and until it stops listening afterwards."""
    node, url = site

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            peer = Peer(await session.ws_connect(f"{url}/ws", headers={"Origin": url}, max_msg_size=0))
            await asyncio.to_thread(node.until, lambda: node.images.get_subscription_count() == 2, "the page's node")
            await asyncio.to_thread(node.settle)
            await story(Show(node, peer))
            await peer.socket.close()
        await asyncio.to_thread(node.until, lambda: node.images.get_subscription_count() == 1, "its leaving")

    assert node.images.get_subscription_count() == 1  # nobody watches yet
    asyncio.run(asyncio.wait_for(run(), 3 * PATIENCE))


def test_see_start_follow_and_stop(site: tuple[Talker, str]) -> None:
    async def story(show: Show) -> None:
        facts, jpeg = await show.until("IDLE")
        assert (facts["size"], facts["box"]) == ([160, 120], None)
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(picture.astype(int) - frame(show.index)).mean() < 12
        await show.peer.send(do="start", box=list(box_at(show.index).xywh), stamp=facts["stamp"])
        await show.until("TRACKING")
        for _ in range(5):
            facts, _ = await show.next()
            assert facts["state"] == "TRACKING"
            assert Box.from_xywh(facts["box"]).iou(box_at(show.index)) > 0.7
        assert (facts["target"], facts["source"]) == ("1", "tracker")
        await show.peer.send(do="start", box=[500, 500, 20, 20])
        while "outside the 160x120 frame" not in (await show.peer.text()).get("note", ""):
            pass
        await show.peer.send(do="stop")
        await show.until("IDLE")

    play(site, story)


def test_the_page_says_which_model_runs_and_chooses_another(site: tuple[Talker, str]) -> None:
    async def story(show: Show) -> None:
        while (await show.peer.text()).get("model") != "kcf":
            pass
        await show.peer.send(do="model", name="mil")
        while (await show.peer.text()).get("note") != "mil is loaded":
            pass
        assert await show.peer.text() == {"model": "mil"}

    play(site, story)
    assert "model mil: OpenCV" in site[0].log()


def test_without_a_tracker_node_it_says_so_a_taken_port_is_one_line_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    async def story(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            peer = Peer(await session.ws_connect(f"{url}/ws", headers={"Origin": url}))
            for message in ({"do": "stop"}, {"do": "start", "box": [1, 2, 30, 40]}, {"do": "model", "name": "kcf"}):
                await peer.send(**message)
                while "no active tracker node" not in (await peer.text()).get("note", ""):
                    pass

    with viewed(tmp_path, "/view_alone") as (child, url, log):
        asyncio.run(story(url))
        taken = harness.arguments({"port": int(url.rpartition(":")[2])}, "/view_port")
        with harness.process("view", taken, stderr=subprocess.PIPE, text=True) as second:
            error = second.communicate(timeout=PATIENCE)[1]
        assert second.returncode == 2
        assert error.strip().splitlines()[-1].startswith("error: the page cannot listen on 127.0.0.1:")
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_documented_options_are_those_that_there_are() -> None:
    page = Path(__file__).parents[2] / "docs" / "view.md"
    assert markdown_table(ViewNodeConfig) in page.read_text(encoding="utf-8"), (
        "docs/view.md: paste sot_tracker.options.markdown_table(ViewNodeConfig)"
    )
