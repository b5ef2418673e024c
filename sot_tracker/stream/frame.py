"""A picture of a stream with its time stamp, and a store of recent ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from sot_tracker.stream.encodings import FrameError
from sot_tracker.tracker import Image


class Frame:
    """A picture and its time stamp. It is decoded when `image` is read for the first time.

    stamp: nanoseconds; 0 if the source has none. nbytes: memory of the undecoded picture. size: width and height, if
    they are known without decoding. encoding: for log lines. header: passed on to the results of this frame; not used
    in `stream`.
    """

    def __init__(
        self,
        stamp: int,
        decode: Callable[[], Image],
        nbytes: int = 0,
        size: tuple[int, int] | None = None,
        encoding: str = "",
        header: Any = None,
    ) -> None:
        self.stamp = stamp
        self.nbytes = nbytes
        self.encoding = encoding
        self.header = header
        self._decode = decode
        self._size = size
        self._image: Image | None = None

    @property
    def image(self) -> Image:
        """H x W x 3 BGR, read-only by convention, kept until `release`. Raises FrameError."""
        if self._image is None:
            self._image = self._decode()
            self._size = (self._image.shape[1], self._image.shape[0])
        return self._image

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height; None while they are not known."""
        return self._size

    def release(self) -> None:
        """Free the decoded picture. Reading `image` decodes it again."""
        self._image = None


def unreadable(stamp: int, nbytes: int, reason: str) -> Frame:
    """A frame without a picture: reading its `image` raises FrameError, as for damaged pixels."""

    def fail() -> Image:
        raise FrameError("message", reason)

    return Frame(stamp, fail, nbytes)


class History:
    """The newest frames, oldest first: at most `count` besides the newest, and at most `limit` bytes of them.

    Frames are kept as they were received (compressed ones compressed); only the newest keeps its decoded picture.
    """

    def __init__(self, count: int, limit: int) -> None:
        self._frames: deque[Frame] = deque()
        self._count, self._limit = count, limit
        self._bytes = 0

    def append(self, frame: Frame) -> None:
        if self._frames:
            self._frames[-1].release()
        self._frames.append(frame)
        self._bytes += frame.nbytes
        while len(self._frames) > 1 and (len(self._frames) > self._count + 1 or self._bytes > self._limit):
            self._bytes -= self._frames.popleft().nbytes

    def clear(self) -> None:
        self._frames.clear()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Memory of the kept frames in bytes, without the newest one's decoded picture."""
        return self._bytes

    @property
    def newest(self) -> Frame | None:
        return self._frames[-1] if self._frames else None

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)
