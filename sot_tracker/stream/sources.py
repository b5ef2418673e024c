"""Sources of frames: a video, a folder or pattern of pictures, a recording, a camera, a stream or a pipeline."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import cv2

from sot_tracker.datasets.find import frames_of
from sot_tracker.errors import UserError
from sot_tracker.options import RANGE_RULE, is_range16
from sot_tracker.stream.captures import Capture, is_file_complete
from sot_tracker.stream.frame import Frame, unreadable
from sot_tracker.stream.pictures import PICTURES, in_natural_order, is_turned, read_picture
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.recordings import Recording, is_recording
from sot_tracker.tracker import Image

log = logging.getLogger(__name__)

DEFAULT_FPS = 30.0
"""Frame rate of pictures, and of cameras and videos that do not state theirs."""
_TRUTH = "groundtruth*.txt"
_PATTERN = re.compile(r"%(0?)(\d*)d")


class FrameSource(Protocol):
    """Frames in order, each with a time stamp. Iterating again starts from the beginning, except for cameras.

    Stamps are nanoseconds: since the beginning for videos and pictures, since 1970 for live sources and recordings.
    name: for messages and window titles. fps: frames per second, the mean where they vary. size: width, height.
    length: number of frames as stated by the source, None if unknown. live: whether frames arrive in real time and are
    lost if they are not read. files: the files that are read, so that no output overwrites them.
    """

    @property
    def name(self) -> str: ...
    @property
    def fps(self) -> float: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def length(self) -> int | None: ...
    @property
    def live(self) -> bool: ...
    @property
    def files(self) -> Sequence[Path]: ...

    def __iter__(self) -> Iterator[Frame]:
        """Yields all frames, also unreadable ones of recordings and pictures, whose `image` then raises a FrameError
        that names the file or topic. Raises UserError if the rest of a recording cannot be read."""

    def close(self) -> None:
        """Release the device or file. A camera cannot be iterated afterwards."""


def open_source(text: str, range16: Sequence[float] = (), topic: str = "") -> FrameSource:
    """Open a source by its name. Raises UserError if it does not exist, cannot be read or contains no frame.

    "clip.mp4" or "file:///data/clip.mp4", "folder/", "folder/%06d.jpg", "run.mcap" or the folder of a rosbag2
    recording, "0" or "/dev/video0" (camera), "rtsp://..." (stream, any scheme that OpenCV knows),
    "videotestsrc ! ... ! appsink" (GStreamer pipeline).
    range16: the 16-bit values that become black and white; empty adapts them to the stream. topic: of a recording;
    empty if it has only one image topic.
    """
    source = _open(text, range16, topic)
    if topic and not isinstance(source, Recording):
        source.close()
        raise UserError(f"topic {topic} is for recordings (MCAP files, rosbag2 folders): '{text}' is not a recording")
    return source


def _open(text: str, range16: Sequence[float], topic: str) -> FrameSource:
    if not text.strip():  # for example an empty variable in a shell script; as a path it would be the current folder
        raise UserError("the source is empty: give a video file, a folder of pictures or a camera number")
    if re.fullmatch(r"[0-9]+", text):
        return _camera_by_number(text)
    if "!" in text and not _exists(text):
        return Camera("pipeline", text, cv2.CAP_GSTREAMER)
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text):
        if scheme[1].lower() == "file":
            return _open(unquote(urlsplit(text).path), range16, topic)
        return Camera(text, scheme[1].lower() + text[scheme.end(1) :])
    path = Path(text).expanduser()
    try:
        if path.is_char_device():
            return Camera(text, text)
        if is_recording(path) and path.exists():
            return Recording(path, topic, range16)
        if path.is_dir():
            return Pictures.of_folder(path, range16)
        if path.exists():
            return Video(path)
        if _PATTERN.search(path.name):
            return Pictures.of_pattern(path, range16)
    except (OSError, ValueError) as error:  # an impossible file name
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        raise UserError(f"'{shown}' cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    raise UserError(f"'{text}' does not exist: give a video file, a folder of pictures or a camera number")


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError):
        return False


def _camera_by_number(text: str) -> Camera:
    if len(text) > 5:
        raise UserError(f"there is no camera {text[:20]}: give a small number, 0 for the first")
    return Camera(f"camera {text}", int(text))


def parse_range16(text: str | None) -> tuple[float, ...]:
    """Parse "LOW,HIGH"; empty for None. Raises UserError."""
    if text is None:
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 2 or not is_range16(values):
        raise UserError(f"'{text}' is not a range of 16-bit values: give {RANGE_RULE}, for example 7000,9000")
    return values


class Pictures:
    """Picture files, in natural order of their names, at DEFAULT_FPS.

    Pictures of a data set (with a truth file in their folder) are read as they are stored. If the first one has
    an EXIF orientation, others are rotated by theirs, which is logged.
    """

    live = False
    fps = DEFAULT_FPS

    def __init__(self, name: str, paths: Sequence[Path], upright: bool, range16: Sequence[float] = ()) -> None:
        self.name = name
        self.files: Sequence[Path] = tuple(paths)
        self._range16 = tuple(range16)
        self._upright = upright and is_turned(self.files[0])
        if self._upright:
            log.warning("%s: pictures are rotated by their EXIF orientation; boxes refer to the rotated pictures", name)
        height, width = read_picture(self.files[0], upright=self._upright).shape[:2]
        self.size = (width, height)

    @classmethod
    def of_folder(cls, folder: Path, range16: Sequence[float] = ()) -> Pictures:
        """All pictures of a folder. Raises UserError if there is none, or the first cannot be decoded."""
        paths = frames_of(folder)
        if not paths:
            below = in_natural_order(sub for sub in folder.iterdir() if sub.is_dir() and any(sub.glob(_TRUTH)))
            hint = f", for example '{below[0]}'" if below else ""
            raise UserError(f"folder '{folder}' holds no pictures ({', '.join(PICTURES)}): give one with frames{hint}")
        return cls(folder.resolve().name, paths, not any(folder.glob(_TRUTH)), range16)

    @classmethod
    def of_pattern(cls, pattern: Path, range16: Sequence[float] = ()) -> Pictures:
        """All existing files that match a pattern such as "frames/%06d.jpg". Raises UserError if there are none."""
        before, after = (re.escape(part) for part in _PATTERN.split(pattern.name)[::3])
        matching = re.compile(f"{before}\\d+{after}")
        folder = pattern.parent
        found = [p for p in folder.iterdir() if matching.fullmatch(p.name)] if folder.is_dir() else []
        if not found:
            raise UserError(f"no file is named like '{pattern}': give the pattern of existing pictures")
        return cls(pattern.name, in_natural_order(found), not any(folder.glob(_TRUTH)), range16)

    @property
    def length(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        range16 = Range16(self._range16)  # a new one, so that every pass gives the same pixels
        for index, path in enumerate(self.files):
            stamp = round(index * 1e9 / self.fps)
            try:
                image = read_picture(path, range16, self._upright)
            except UserError as error:  # the other pictures can still be used
                yield unreadable(stamp, 0, str(error))
            else:
                yield _frame(image, stamp)

    def close(self) -> None:
        """Nothing to do: no file is kept open."""


class Video:
    """A video file. A frame that cannot be decoded ends it, as in truncated files; the missing frames are logged."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.files: Sequence[Path] = (path,)
        self._path = path
        with self._open() as capture:
            if capture.read() is None:
                raise UserError(f"video '{path}' holds no frame that can be decoded: it is empty or damaged")
            self.size, self.length = capture.size, capture.length
            self.fps = capture.measured_fps() or DEFAULT_FPS

    def _open(self) -> Capture:
        capture = Capture(str(self._path))
        if not capture.is_open:
            raise UserError(f"video '{self._path}' cannot be opened: it is damaged or of a format OpenCV cannot read")
        return capture

    def __iter__(self) -> Iterator[Frame]:
        count, last, step = 0, -1, round(1e9 / self.fps)
        with self._open() as capture:
            while (image := capture.read()) is not None:
                stamp = round(capture.position_ms * 1e6)
                # Raw streams have no time stamps: use the frame rate.
                last = stamp if stamp > last else last + step
                count += 1
                yield _frame(image, last)
        if self.length is not None and not is_file_complete(count, self.length):
            log.warning(
                "%s has %d frames, but only %d could be decoded: damaged or truncated", self.name, self.length, count
            )

    def close(self) -> None:
        """Nothing to do: each iteration closes its own file."""


class Camera:
    """A webcam by number or device, a network stream or a GStreamer pipeline; live, so without a length."""

    length = None
    live = True
    files: Sequence[Path] = ()

    def __init__(
        self, name: str, device: int | str, backend: int = cv2.CAP_ANY, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.name, self._clock = name, clock
        if backend == cv2.CAP_GSTREAMER and not has_gstreamer():
            raise UserError(
                "this OpenCV was built without GStreamer, as all pip packages are: install your distribution's "
                "python3-opencv, or give a video file, a camera number or a stream address"
            )
        self._capture = Capture(device, backend)
        if self._capture.read() is None:
            self._capture.close()
            raise UserError(f"{name} gives no picture: check that it is connected, not in use, and that you may use it")
        self.fps = self._capture.stated_fps or DEFAULT_FPS
        self.size = self._capture.size

    def __iter__(self) -> Iterator[Frame]:
        while (image := self._capture.read()) is not None:
            yield _frame(image, self._clock())

    def close(self) -> None:
        self._capture.close()


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer."""
    return any(
        "YES" in line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GStreamer:")
    )


def _frame(image: Image, stamp: int) -> Frame:
    return Frame(stamp, lambda: image, image.nbytes, (image.shape[1], image.shape[0]), "bgr8")
