"""The real player in its own process, seen over real DDS; player and tracker node together."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ros_clips import box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from vision_msgs.msg import Detection2D  # noqa: E402

from sot_tracker.box import Box  # noqa: E402
from sot_tracker.cli import main  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.options import markdown_table  # noqa: E402
from sot_tracker.ros import messages  # noqa: E402
from sot_tracker.ros.main import NODES  # noqa: E402
from sot_tracker.ros_tools import harness, player  # noqa: E402
from sot_tracker.ros_tools.player_config import PlayerConfig  # noqa: E402
from sot_tracker.stream.frame import Frame  # noqa: E402

FRAMES, PATIENCE = 12, 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence folder of losslessly written frames with truth."""
    folder = tmp_path_factory.mktemp("clips") / "square"
    folder.mkdir()
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index + 1:04d}.png"), frame(index))
    rows = [",".join(f"{v:g}" for v in box_at(index).xywh) for index in range(FRAMES)]
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    return folder


class Listener:
    """Notes what the player sends."""

    def __init__(self, compressed: bool, init_box: bool) -> None:
        import rclpy

        self.images: list[Any] = []
        self.boxes: list[Detection2D] = []
        self.truths: list[Detection2D] = []
        self.node = rclpy.create_node("listener", namespace="/play")
        kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        # Deep queues: here every frame counts, not the newest.
        self.node.create_subscription(kind, topic, self.images.append, QoSProfile(depth=100))
        self.node.create_subscription(Detection2D, "truth", self.truths.append, QoSProfile(depth=100))
        if init_box:
            self.node.create_subscription(Detection2D, "init_box", self.boxes.append, QoSProfile(depth=10))
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)


@contextmanager
def playing(compressed: bool = False, **parameters: Any) -> Iterator[tuple[Listener, subprocess.Popen[Any]]]:
    listener = Listener(compressed, "init_box" in parameters)
    try:
        # The image publisher keeps one message: a pace that a busy machine keeps up with.
        with harness.process("player", harness.arguments({"rate": 20.0, **parameters}, "/play")) as child:
            yield listener, child
    finally:
        listener.executor.shutdown()
        listener.node.destroy_node()


def until_end(listener: Listener, child: subprocess.Popen[Any]) -> None:
    assert harness.spin_until(listener.executor, lambda: child.poll() is not None, PATIENCE)
    harness.spin_until(listener.executor, lambda: False, 0.3)
    assert child.returncode == 0


def pixels(message: Any) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def log_rows(path: Path) -> list[tuple[int, int]]:
    with path.open() as lines:
        return [(int(row["index"]), int(row["stamp"])) for row in csv.DictReader(lines)]


def test_the_docs_list_every_option() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "ros.md"
    assert markdown_table(PlayerConfig) in page.read_text(), (
        "docs/ros.md: paste sot_tracker.options.markdown_table(PlayerConfig)"
    )


def test_a_folder_is_played_with_box_truth_and_log(clip: Path, tmp_path: Path) -> None:
    log = tmp_path / "sent.csv"
    with playing(source=str(clip), init_box=box_at(0).xywh, log=str(log), frame_id="eye") as (listener, child):
        until_end(listener, child)
    sent = log_rows(log)
    assert [index for index, _ in sent] == list(range(FRAMES))
    stamps = [stamp for _, stamp in sent]
    assert np.all(np.diff(stamps) > 0)
    number = {stamp: index for index, stamp in sent}
    assert len(listener.images) > FRAMES // 2, "most frames arrive even on a busy machine"
    for image in listener.images:
        assert (image.encoding, image.step, image.header.frame_id) == ("bgr8", 480, "eye")
        np.testing.assert_array_equal(pixels(image), frame(number[messages.stamp_of(image.header)]))
    assert [(messages.box_of(b), messages.stamp_of(b.header)) for b in listener.boxes] == [(box_at(0), stamps[0])]
    assert [(t.id, messages.box_of(t)) for t in listener.truths] == [(str(k), box_at(k)) for k in range(FRAMES)]
    assert np.median(np.diff(stamps)) > 0.04e9, "20 per second; a busy machine makes it only slower"


def test_compressed_resized_and_looping(clip: Path, tmp_path: Path) -> None:
    log = tmp_path / "sent.csv"
    with playing(
        True,
        source=str(clip),
        image_transport="compressed",
        loop=True,
        frames=FRAMES + 3,
        width=80,
        height=60,
        init_box=box_at(0).xywh,
        log=str(log),
    ) as (listener, child):
        until_end(listener, child)
    assert [index for index, _ in log_rows(log)] == [*range(FRAMES), 0, 1, 2]
    assert listener.images
    for image in listener.images:
        assert image.format == "jpeg"
        assert cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)
    assert messages.box_of(listener.boxes[0]) == box_at(0).scaled(0.5)


def write_avi(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for index in range(FRAMES):
        writer.write(frame(index))
    writer.release()


def write_joined_jpegs(path: Path) -> None:
    """Without a count of frames and without time stamps; FFmpeg reads it as 25 per second."""
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame(index))[1].tobytes() for index in range(FRAMES)))


@pytest.mark.parametrize(
    ("name", "write", "gap"), [("clip.avi", write_avi, 0.08e9), ("clip.mjpeg", write_joined_jpegs, 0.035e9)]
)
def test_a_video_is_played_at_its_own_rate(tmp_path: Path, name: str, write: Any, gap: float) -> None:
    video, log = tmp_path / name, tmp_path / "sent.csv"
    write(video)
    with playing(source=str(video), rate=0.0, log=str(log)) as (listener, child):
        until_end(listener, child)
    stamps = [stamp for _, stamp in log_rows(log)]
    assert len(stamps) == FRAMES
    assert np.median(np.diff(stamps)) > gap, "a busy machine makes it only slower"


class Varying:
    """A source of four frames at odd times."""

    name, fps, size, length, live, files = "varying", 30.0, (160, 120), None, False, ()
    stamps = (0, 33_000_000, 133_000_000, 166_000_000)

    def __iter__(self) -> Iterator[Frame]:
        for index, stamp in enumerate(self.stamps):
            yield Frame(stamp, lambda index=index: frame(index))  # type: ignore[misc]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("rate", "gaps"), [(0.0, [1 / 30, 0.033, 0.1, 0.033, 1 / 30, 0.033]), (10.0, [0.1] * 6)], ids=["own", "rate"]
)
def test_frames_follow_the_times_of_the_source(monkeypatch: pytest.MonkeyPatch, rate: float, gaps: list[float]) -> None:
    monkeypatch.setattr(player, "open_source", lambda *_: Varying())
    given = [Parameter(name, value=value) for name, value in {"source": "x", "rate": rate, "loop": True}.items()]
    node = player.Player(parameter_overrides=given)
    try:
        found = []
        for _ in gaps:
            next(node._messages)
            found.append(node._gap)
        assert found == pytest.approx(gaps)
    finally:
        node.destroy_node()


def test_a_loop_ends_where_no_frame_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), frame(index))
    given = [Parameter(name, value=value) for name, value in {"source": str(folder), "loop": True}.items()]
    node = player.Player(parameter_overrides=given)
    try:
        assert [next(node._messages)[0] for _ in range(3)] == [0, 1, 0]
        for path in folder.iterdir():
            path.write_bytes(b"")
        with pytest.raises(UserError, match="frames' gives no frame any more"):
            next(node._messages)
    finally:
        node.destroy_node()


def test_it_says_what_it_plays_and_how_much_it_played(clip: Path, tmp_path: Path) -> None:
    words = harness.arguments({"source": str(clip), "width": 80, "wait": 0.0, "rate": 200.0, "sorce": "x"}, "/play")
    done = subprocess.run(
        [sys.executable, "-m", NODES["player"], *words],
        capture_output=True, text=True, timeout=PATIENCE, env=harness.environment(),
    )  # fmt: skip
    assert done.returncode == 0
    assert "playing square: 160x120, sent as 80x120, 12 frames, at 200 per second, raw" in done.stderr
    assert "played 12 frames of square" in done.stderr
    assert "there is no parameter 'sorce'; did you mean source?" in done.stderr


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "player has no source"),
        ({"source": "/nowhere.mp4"}, "'/nowhere.mp4' does not exist"),
        ({"source": "/nowhere.mp4", "log": "/nowhere/log.csv"}, "log '/nowhere/log.csv': its folder does not exist"),
        ({"source": "x", "image_transport": "pigeon"}, "image_transport='pigeon' is not possible"),
        ({"source": "x" * 3000}, "cannot be opened: File name too long"),
        ({"source": "a", "log": "x" * 3000}, "cannot be written: File name too long"),
        ({"source": "x ! appsink"}, "without GStreamer"),
        ({"source": 999999}, "there is no camera 999999"),
        ({"source": "x", "init_box": [0, 0, -1, 5]}, "positive width"),
        ({"source": "x", "frames": 10**18}, "frames"),
    ],
)
def test_mistakes_are_one_line_and_status_2(parameters: dict[str, Any], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", NODES["player"], *harness.arguments(parameters)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=harness.environment(),
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_stream_that_is_not_there_is_one_line() -> None:
    command = [sys.executable, "scripts/player", *harness.arguments({"source": "RTSP://localhost:1/x"})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=harness.environment())
    assert done.returncode == 2
    assert done.stderr.startswith("error: RTSP://localhost:1/x gives no picture")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--box", "9999,1,20,20"], "lies outside"),
        (["--box", "nan,1,20,20"], "finite numbers"),
        (["--rate", "nan"], "--rate nan is out of range"),
        (["--frames", "-1"], "--frames -1 is out of range"),
    ],
)
def test_mistakes_in_the_demo_are_reported_before_anything_starts(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["demo", "--video", str(clip), "--out", str(tmp_path), *arguments]) == 2
    reported = capsys.readouterr().err.splitlines()
    assert len(reported) == 1
    assert words in reported[0]


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_demo_in_lock_step_tracks_every_frame(clip: Path, tmp_path: Path, transport: str) -> None:
    command = [sys.executable, "-m", "sot_tracker.cli", "demo", "--model", "kcf", "--lockstep"]
    done = subprocess.run(
        [*command, "--video", str(clip), "--transport", transport, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["frames in"], summary["frames processed"], summary["frames dropped"]) == (FRAMES, FRAMES, 0)
    assert summary["overlap"] > 0.7
    assert summary["latency ms"]["track"]["p50"] > 0
    assert summary["latency ms"]["node overhead"]["p95"] >= summary["latency ms"]["node overhead"]["p50"] > 0
    with (tmp_path / "boxes.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    boxes = [Box(*(float(row[side]) for side in "xywh")) for row in rows]
    assert all(box.iou(box_at(index)) > 0.5 for index, box in enumerate(boxes))
    capture = cv2.VideoCapture(str(tmp_path / "debug.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    for line in ("frames in", "frames dropped", "overlap", "node overhead"):
        assert line in done.stdout


def test_frames_that_come_too_fast_are_dropped_and_counted(clip: Path, tmp_path: Path) -> None:
    """By a network: on a busy machine CSRT kept pace with a player that had slowed down more than it."""
    pytest.importorskip("onnxruntime", reason="the models that ship need ONNX Runtime")
    log = tmp_path / "sent.csv"
    player = {
        "source": str(clip),
        "loop": True,
        "frames": 450,
        "rate": 300.0,
        "width": 480,
        "height": 360,
        "init_box": box_at(0).xywh,
        "log": str(log),
        "wait": PATIENCE,
    }
    code = (
        "import sys, json; from sot_tracker.ros_tools import harness\n"
        "r = harness.play(json.loads(sys.argv[1]), {'model': 'smat', 'threads': 1}, '/fast')\n"
        "last = r.states[max(r.states)]\n"
        "print(json.dumps([min(r.states), max(r.states), len(r.states), last.frames_processed, last.frames_dropped]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(player)], capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert done.returncode == 0, done.stderr
    first, last, said, processed, dropped = json.loads(done.stdout.splitlines()[-1])
    stamps = [stamp for _, stamp in log_rows(log)]
    assert len(stamps) == 450
    assert last == stamps[-1], "the newest frame is always processed"
    assert dropped > 0, f"first {stamps.index(first)}, {processed} processed of {(stamps[-1] - stamps[0]) / 1e9:.1f} s"
    assert processed + dropped == 450 - stamps.index(first), "counted from the first frame that was seen"
    assert said == processed


def test_the_demo_tells_missing_weights_before_it_starts(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sot_tracker.cli", "demo", "--model", "hit_base", "--video", str(clip)]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "no weights for 'hit_base' ship here" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_in_the_demo_ends_every_process_without_a_traceback(clip: Path, tmp_path: Path) -> None:
    """As from a terminal: the signal goes to the whole group."""
    video, log = tmp_path / "endless", tmp_path / "log"
    video.symlink_to(clip)
    command = [sys.executable, "-m", "sot_tracker.cli", "demo", "--model", "kcf", "--rate", "1", "--video", str(video)]
    with log.open("w") as reported:
        child = subprocess.Popen(
            [*command, "--out", str(tmp_path)], stdout=reported, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while "waits for the frame with its stamp" not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(PATIENCE) == 130, log.read_text()
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
    assert "Traceback" not in log.read_text()


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """Four frames, the second of them damaged, another image topic, and true boxes."""
    bags = pytest.importorskip("bags", reason="reads recordings")
    stamps = [(index + 1) * 10**9 for index in range(4)]
    pictures = [("/a", stamp, bags.compressed(frame(i), stamp)) for i, stamp in enumerate(stamps)]
    pictures[1][2].data = np.zeros(9, np.uint8)
    truth = [("/truth", stamp, bags.detection(box_at(i), stamp)) for i, stamp in enumerate(stamps)]
    return str(bags.write_bag(tmp_path / "run", [*pictures, ("/b", 1, bags.image(frame(0), 1)), *truth]))


def test_a_recording_is_played_with_its_truth(recording: str) -> None:
    with playing(source=recording, topic="/a", rate=10.0) as (listener, child):
        until_end(listener, child)
    assert len(listener.images) >= 2
    assert [(t.id, messages.box_of(t)) for t in listener.truths] == [(str(k), box_at(k)) for k in (0, 2, 3)]
    assert any(np.array_equal(pixels(image), frame(3)) for image in listener.images)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "several image topics: give one with -p topic:=NAME: /a, /b"),
        ({"topic": "/c"}, "has no image topic /c"),
        ({"topic": "/a"}, ""),
    ],
)
def test_topics_of_recordings(recording: str, given: dict[str, str], words: str) -> None:
    config = PlayerConfig.from_mapping({"source": recording, **given})
    if words:
        with pytest.raises(UserError, match=words):
            player._open(config)
    else:
        assert player._truth_of(player._open(config), config).shape == (4, 4)


def test_other_sources_have_no_truth_topic(clip: Path) -> None:
    config = PlayerConfig.from_mapping({"source": str(clip), "truth_topic": "/truth"})
    with pytest.raises(UserError, match="truth_topic is for recordings"):
        player._truth_of(player._open(config), config)
