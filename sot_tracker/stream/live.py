"""Runs a tracker on a source in a thread of its own, and accepts requests from other threads meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.follower import Follower
from sot_tracker.stream.frame import Frame, History
from sot_tracker.stream.reports import Answer, Report, report_of
from sot_tracker.stream.requests import Request
from sot_tracker.stream.sources import FrameSource
from sot_tracker.stream.statistics import Throttle
from sot_tracker.tracker import Tracker

HISTORY, HISTORY_BYTES = 90, 256 << 20
"""Frames that are kept, so that the user may draw a box in a picture that is up to three seconds old (at 30 fps)."""
MAX_WAITING = 16
"""Largest number of requests that may wait for the next frame."""
CATCH_UP_S = 0.25
"""A delay of a file's frames of up to this many seconds is made up for; after a longer one they continue from now."""
MAX_GAP_S = 5.0
"""Longer gaps between the stamps of a file's frames, such as from a clock that was set, are shortened to this."""
MAX_FAILURES = 10  # consecutive frames that fail, after which the thread ends
_SAY_PERIOD = 5.0  # seconds between two lines of one kind


class LiveFollower:
    """Plays a source at its own speed, tracks one target in it and reports every frame. It is a `Control`.

    A file is repeated. At its beginning the target is dropped, or started on `first` again.

    source: is closed by the caller. load: model name -> tracker; raises UserError. receive: called with every report,
    in this object's thread; must not block. say: called with lines for the user, from any thread. first: the target's
    box in the first frame.
    """

    def __init__(
        self,
        source: FrameSource,
        tracker: Tracker,
        load: Callable[[str], Tracker],
        receive: Callable[[Report], None],
        say: Callable[[str], None],
        first: Box | None = None,
    ) -> None:
        self._source, self._load, self._receive, self._say, self._first = source, load, receive, say, first
        self._throttle = Throttle(_SAY_PERIOD)
        self._failures = 0  # consecutive ones
        self._follower = self._follower_of(tracker)
        self._requests: queue.Queue[Callable[[], None]] = queue.Queue(MAX_WAITING)
        self._loading = threading.Lock()
        self._last: Report | None = None
        self.failure = ""
        """Why the thread has ended: what is wrong with the source, or the error of many consecutive frames; else ""."""
        self._end, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def __enter__(self) -> LiveFollower:
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C: Python does not call `__exit__` then
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End the thread. If it were still in OpenCV when Python ends, the process would abort."""
        self._end.set()
        self._ended.wait(5.0)  # a camera without pictures may block for longer: the thread ends with the process

    @property
    def runs(self) -> bool:
        """Whether the thread is alive, even if its camera gives no pictures."""
        return self._thread.is_alive()

    def start(self, request: Request, answer: Answer) -> None:
        self._ask(lambda: self._follower.request(request), answer)

    def stop(self, answer: Answer) -> None:
        self._ask(self._stop, answer)

    def choose(self, model: str, answer: Answer) -> None:
        if not self._loading.acquire(blocking=False):
            answer("another model is being loaded: wait for it")
            return
        threading.Thread(target=self._load_model, args=(model, answer), name="load", daemon=True).start()

    def _load_model(self, model: str, answer: Answer) -> None:
        try:
            tracker = self._load(model)
        except UserError as error:
            answer(str(error))
            return
        except Exception as error:  # of an engine: the caller waits for the answer
            answer(f"{model} cannot be loaded: {_summary(error)}")
            return
        finally:
            self._loading.release()
        self._ask(lambda: self._exchange(tracker), answer)

    def _ask(self, action: Callable[[], object], answer: Answer) -> None:
        def serve() -> None:
            try:
                action()
            except UserError as error:
                answer(str(error))
            except Exception as error:  # of OpenCV or an engine: a request must not end the thread
                answer(f"an unexpected error: {_summary(error)}")
            else:
                answer("")

        try:
            self._requests.put_nowait(serve)
        except queue.Full:
            answer("too many requests are waiting: no frames arrive, or requests come too fast")

    def _stop(self) -> None:
        if not self._follower.stop():
            raise UserError("there was no target")

    def _exchange(self, tracker: Tracker) -> None:
        """Continue with another tracker, from the last box if that was a reported one."""
        target, last = self._follower.target_id, self._last
        self._follower.stop()
        self._follower = self._follower_of(tracker)
        if target and last is not None and last.box is not None and last.fresh:
            self._follower.request(Request(last.box, 0, target))
        elif target:
            self._say("the target was not visible: start it again with the new model")

    def _follower_of(self, tracker: Tracker) -> Follower:
        return Follower(tracker, History(HISTORY, HISTORY_BYTES), self._warn)

    def _warn(self, kind: str, text: str) -> None:
        if self._throttle.ready(kind):
            self._say(text)

    def _run(self) -> None:
        try:
            self._follow()
        finally:
            self._ended.set()

    def _follow(self) -> None:
        """Track until `__exit__`, the end of a live source, a read error, or too many failed frames in a row."""
        offset = 0
        try:
            while not self._end.is_set():
                if self._first is not None:
                    self._follower.request(Request(self._first))
                stamp = self._play(offset)
                if self._source.live:
                    self._say(f"{self._source.name} gives no more pictures")
                    return
                offset = stamp + round(1e9 / self._source.fps)
                had_target = self._follower.stop() and not self._end.is_set()
                if had_target and self._first is None:
                    self._say(f"{self._source.name} begins again: the target is dropped")
        except UserError as error:  # a frame that cannot be read
            self.failure = str(error)
        except Exception as error:  # of a decoder or of `receive`: nothing reads the result of this thread
            self.failure = f"{self._source.name} ended with {_summary(error)}"
        if self.failure:
            self._say(self.failure)

    def _play(self, offset: int) -> int:
        """Play the source once and return the last stamp. Later passes begin at `offset`."""
        stamp, first = offset, None
        for frame in self._at_its_speed():
            begin = time.perf_counter()
            first = frame.stamp if first is None else first
            # Every pass has stamps of its own, which continue those of the last pass, so that a box drawn in a picture
            # of the last pass cannot start in a frame of this one. Stamps of recordings do not begin with 0.
            stamp = frame.stamp + offset - (first if offset else 0)
            self._process(_stamped(frame, stamp), begin)
        return stamp

    def _process(self, frame: Frame, begin: float) -> None:
        self._serve()
        try:
            result = self._follower.process(frame, decode=True)
        except UserError as error:
            self._warn("frame", f"frame refused: {error}")
            return
        except Exception as error:  # of OpenCV or an engine: one bad frame must not end the thread
            self._count_failure(error)
            return
        self._failures = 0
        self._last = report_of(result, 1e3 * (time.perf_counter() - begin))
        self._receive(self._last)

    def _count_failure(self, error: Exception) -> None:
        """Raise UserError after `MAX_FAILURES` consecutive frames."""
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise UserError(f"{self._failures} frames in a row failed, the last with {_summary(error)}") from None
        self._warn("failure", f"frame failed: {_summary(error)}")

    def _serve(self) -> None:
        for _ in range(MAX_WAITING):
            try:
                serve = self._requests.get_nowait()
            except queue.Empty:
                return
            serve()

    def _at_its_speed(self) -> Iterator[Frame]:
        """The frames of one pass; those of a file at the times of their stamps, with gaps of at most `MAX_GAP_S`.

        After a delay of at most `CATCH_UP_S` they catch up. After a longer one they continue from now, so that there is
        no burst of frames.
        """
        start: float | None = None
        for frame in self._source:
            if not self._source.live:
                now = time.monotonic()
                if start is None or now - start - frame.stamp * 1e-9 > CATCH_UP_S:
                    start = now - frame.stamp * 1e-9
                start = min(start, now + MAX_GAP_S - frame.stamp * 1e-9)
                due = start + frame.stamp * 1e-9
                if due > now and self._end.wait(due - now):
                    return
            if self._end.is_set():
                return
            yield frame


def _summary(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _stamped(frame: Frame, stamp: int) -> Frame:
    return Frame(stamp, lambda: frame.image, frame.nbytes, frame.size, frame.encoding, frame.header)
