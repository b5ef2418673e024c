"""Process pools whose workers end with the program that started them."""

from __future__ import annotations

import os
import signal
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread


def end_with_parent() -> None:
    """To be run first in a worker (`initializer` of a ProcessPoolExecutor).

    Workers then end at once and in silence, on Ctrl-C, which reaches all processes of a terminal, and when the program
    was killed, which would otherwise leave them waiting for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if parent := parent_process():
        Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
