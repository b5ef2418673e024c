"""Limits NumPy's matrix products to one thread while a frame is processed.

The products are small, so more threads gain nothing. But waiting BLAS threads spin, and so take processor time from the
network's threads: on two cores, a frame with lite took 8.2 ms instead of 3.6 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import cache, wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def in_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with NumPy's BLAS (OpenBLAS, MKL, BLIS) limited to one thread while it runs.

    The limit applies to the whole process. It needs the package threadpoolctl, which rosdep does not provide; without
    it nothing is limited.
    """

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with _limit():
            return function(*args, **kwargs)

    return limited


class _Shared:
    """One limit for all threads that are in it: the first sets it, the last gives back what was there before.

    With a limit of each thread's own, one that begins second and ends last would give back the first one's limit, and
    the process would stay at one thread.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._limit = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            controller = _libraries()
            if self._inside == 0 and controller is not None:
                self._limit.enter_context(controller.limit(limits=1, user_api="blas"))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.close()


_shared = _Shared()


def _limit() -> AbstractContextManager[object]:
    return _shared


@cache
def _libraries() -> Any:  # a ThreadpoolController, which has no types
    """The BLAS libraries of this process. They are looked up once, since this takes a millisecond."""
    try:
        from threadpoolctl import ThreadpoolController
    except ModuleNotFoundError:
        return None
    return ThreadpoolController()
