"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give freed heap memory back to the system; does nothing where the C library is not glibc. Takes 1 to 8 ms.

    Loading a network frees more than it keeps, in large pieces. glibc does not return them by itself: after a large
    piece was freed, it expects that as much is needed again (100 MB with HiT-Tiny).
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
