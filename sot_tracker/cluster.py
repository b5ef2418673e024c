"""Work spread over the machines of a Ray cluster (https://docs.ray.io): each result once, as it is finished.

Every machine needs this package in the same version, and sees the files under the same paths.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from sot_tracker import cpus, opencv_environment, reaper
from sot_tracker.errors import MissingPackage, UserError

log = logging.getLogger(__name__)

J = TypeVar("J")
R = TypeVar("R")

LOCAL = "local"
"""The address of a cluster that is this machine alone, for as long as the work takes."""
RETRIES = 3
"""How often a job is run again after the process or machine that ran it has ended."""
_ANSWER = 5.0
"""Seconds that an address has to answer."""
_FORM = re.compile(r"(?:ray://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_OF_CLIENT_PORT = "/ray.rpc.RayletDriver/ClusterInfo"
_OF_CLUSTER = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""Calls that Ray Client (ray://...) knows, and that the cluster itself knows, to which its own machines connect."""
_SAME = ("sot_tracker", "opencv-contrib-python", "numpy", "ray")
"""Packages whose version decides results, or whether results can be understood."""


class Share(NamedTuple):
    """What one job takes of a machine: processors, and GPUs."""

    cpus: int = 1
    gpus: int = 0


class _Answer(NamedTuple):
    """What comes back from a machine. fits: empty, or why nothing can be done there."""

    machine: str
    result: Any
    warnings: list[str]
    fits: str = ""


def spread(
    work: Callable[[J], R], jobs: Sequence[J], address: str, share: Share, name: Callable[[J], str]
) -> Generator[tuple[J, R | UserError], None, None]:
    """Run `work(job)` for every job on the cluster, and yield each job with its result, in the order of finishing.

    work: a function of a module of this package, which Python can import on every machine. name: what a job is called
    in messages. A UserError in a job is its result. A job whose process or machine ended is run again elsewhere,
    RETRIES times; that it ended again is then a UserError as its result. When the iterator is closed or left by an
    exception, what is still running is ended.

    Raises UserError if the cluster does not answer, has no room for a job or has other versions of this package.
    """
    if not jobs:
        return
    ray = _require_ray()
    with _only_own_output(), _connected(ray, address):
        _require_room(ray, share)
        # max_calls: a process is kept for the next jobs, with the tracker that it has loaded, also on a GPU
        remote = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES, max_calls=0)(_run)
        running = {remote.remote(pickle.dumps((work, job)), _versions()): job for job in jobs}
        told: set[str] = set()
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            yield job, _result(ray, done, name(job), told)


def _run(packed: bytes, versions: dict[str, str]) -> _Answer:
    """One job, in a process of some machine."""
    opencv_environment.prepare()  # before unpickling imports OpenCV
    machine, here = socket.gethostname(), _versions()
    for package, version in versions.items():
        if here[package] != version:
            found = here[package] or "none"
            return _Answer(machine, None, [], f"{package} is {found} there and {version or 'none'} here")
    with _noted_warnings() as warnings:
        try:
            work, job = pickle.loads(packed)
            return _Answer(machine, work(job), warnings)
        except UserError as error:
            return _Answer(machine, UserError(f"{error} (on machine {machine})"), warnings)


def _result(ray: ModuleType, done: Any, name: str, told: set[str]) -> Any:
    """What a job gave, or its UserError. Warnings of the machines are logged, each once."""
    try:
        answer: _Answer = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if "failed to import on the worker" in str(error):  # Ray has no class for this
            raise UserError("a machine of the cluster has no sot_tracker of this version: install it there") from None
        raise  # a fault of this program, with its traceback
    except ray.exceptions.RayError as error:
        why = _first_line(error)
        return UserError(f"{name}: what ran it was killed {RETRIES + 1} times, perhaps for want of memory ({why})")
    if answer.fits:
        raise UserError(f"machine {answer.machine} of the cluster cannot take part: {answer.fits}")
    for warning in answer.warnings:
        if warning not in told:
            told.add(warning)
            log.warning("%s (on machine %s)", warning, answer.machine)
    return answer.result


@contextlib.contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    handler = signal.getsignal(signal.SIGTERM)  # Ray sets its own
    with contextlib.ExitStack() as stack:
        if address == LOCAL:
            place = stack.enter_context(_folder_of_cluster())
            options |= {"num_cpus": cpus.usable(), "object_store_memory": 200 << 20, "include_dashboard": False}
            options |= {"_temp_dir": place, "_node_ip_address": "127.0.0.1"}  # nobody else can reach it
        else:
            _require_answer(address)
        stack.callback(_restore, handler)
        stack.callback(_shut_down, ray)
        try:
            ray.init(address=address, **options)
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            hint = " (does it ask for a token? then set RAY_AUTH_MODE=token)"
            if not address.startswith("ray://"):
                hint = " (this machine must be one of the cluster's: else give ray://HOST:10001)"
            raise UserError(f"no connection to --ray {address}: {_first_line(error)}{hint}") from None
        yield


def _shut_down(ray: ModuleType) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it has held back of its reports
        ray.shutdown()


@contextlib.contextmanager
def _folder_of_cluster() -> Iterator[str]:
    """For logs and sockets of an own cluster, which Ray would keep; it goes with all processes, however this ends."""
    base = os.environ.get("RAY_TMPDIR", "/tmp")  # short: sockets with long names are made in it
    place = tempfile.mkdtemp(prefix="sot-ray-", dir=base)
    command = [sys.executable, reaper.__file__, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # leaving the block waits for it
        yield place


def _restore(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _require_ray() -> ModuleType:
    """Ray, with its usage statistics off."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import grpc  # noqa: F401
        import ray
    except ModuleNotFoundError as error:
        raise MissingPackage(str(error.name), "--ray", "pip install 'sot_tracker[ray]'") from None
    return ray


def _require_answer(address: str) -> None:
    """Raises UserError, in seconds, for what is not an address or that of something else; Ray waits up to two minutes
    and cannot be interrupted meanwhile.
    """
    import grpc

    chosen = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    form = _FORM.fullmatch(chosen)
    if chosen != "auto" and not (form and 0 < int(form[2]) < 65536):
        raise UserError(f"--ray '{chosen}' is not an address: give auto, local, HOST:PORT or ray://HOST:PORT")
    where, is_client = _endpoint(chosen), chosen.startswith("ray://")
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # a plain greeting gets no answer there
    with grpc.insecure_channel(where, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWER)
        except grpc.FutureTimeoutError:
            raise UserError(f"--ray {address}: nothing answers as Ray does at {where} in {_ANSWER:g} s") from None
        if (_status(channel, _OF_CLIENT_PORT) != "UNIMPLEMENTED") != is_client:
            other = where if is_client else f"ray://{where}"
            raise UserError(f"--ray {address}: that port is for another kind of address: give {other}, or another port")
        needs_token = _status(channel, _OF_CLUSTER) == "UNAUTHENTICATED"
    if needs_token and address != "auto" and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise UserError(f"--ray {address}: it asks for a token: set RAY_AUTH_MODE=token, and see `ray get-auth-token`")


def _status(channel: Any, call: str) -> str:
    """What comes of an empty call."""
    import grpc

    try:
        channel.unary_unary(call)(b"", timeout=_ANSWER)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def _endpoint(address: str) -> str:
    """HOST:PORT that Ray will take: what `auto` finds; this machine's own address for localhost."""
    from ray._private import services  # Ray has no public function for this

    if address.startswith("ray://"):
        return address.removeprefix("ray://")
    try:
        return str(services.canonicalize_bootstrap_address(address))
    except ConnectionError:
        raise UserError("--ray auto: no Ray cluster runs on this machine; give its address, or local") from None


def _require_room(ray: ModuleType, share: Share) -> None:
    """Raises UserError if no machine could ever take a job, which Ray would wait for."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(each.get("CPU", 0) >= share.cpus and each.get("GPU", 0) >= share.gpus for each in machines):
        wanted = f"{share.cpus} processors" + (f" and {share.gpus} GPU" if share.gpus else "")
        raise UserError(
            f"none of {len(machines)} machines of the cluster has {wanted} for a job: see --threads, --device"
        )


def _versions() -> dict[str, str]:
    """Of the packages that must agree; empty for one that pip does not know."""
    found = {}
    for package in _SAME:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


@contextlib.contextmanager
def _noted_warnings() -> Iterator[list[str]]:
    """The texts of warnings that this package logs in the block."""
    texts: list[str] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    logger, handler = logging.getLogger("sot_tracker"), Noting(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)


class _OwnOutput:
    """Standard output for the thread that made it; what Ray's threads print, as on lost machines, is dropped."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._owner = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() == self._owner else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _only_own_output() -> Iterator[None]:
    before = sys.stdout
    sys.stdout = _OwnOutput(before)
    try:
        yield
    finally:
        sys.stdout = before


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
