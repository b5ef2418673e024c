"""Limits NumPy's matrix products to one thread while a frame is processed.

The products are small, so more threads gain nothing. But waiting BLAS threads spin, and so take processor time from the
network's threads: on two cores, a frame with lite took 8.2 ms instead of 3.6 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
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


def _limit() -> AbstractContextManager[object]:
    controller = _libraries()
    limit: AbstractContextManager[object] = nullcontext()
    if controller is not None:
        limit = controller.limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> Any:  # a ThreadpoolController, which has no types
    """The BLAS libraries of this process. They are looked up once, since this takes a millisecond."""
    try:
        from threadpoolctl import ThreadpoolController
    except ModuleNotFoundError:
        return None
    return ThreadpoolController()
