"""Runs jobs on the machines of a Ray cluster (https://docs.ray.io) and yields each result once, as it is finished.

Every machine needs the same version of this package, and the same files under the same paths.
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
"""The address of a temporary cluster that consists of this machine only."""
RETRIES = 3
"""How often a job is run again after the process or machine that ran it has ended."""
_TIMEOUT = 5.0
"""Seconds in which an address must answer."""
_FORM = re.compile(r"(?:ray://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_OF_CLIENT_PORT = "/ray.rpc.RayletDriver/ClusterInfo"
_OF_CLUSTER = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""A gRPC call that the port of Ray Client (ray://...) knows, and one that the port for the cluster's machines knows."""
_SAME = ("sot_tracker", "opencv-contrib-python", "numpy", "ray")
"""Packages that must have the same version everywhere, because results or their serialization depend on it."""


class Share(NamedTuple):
    """What one job needs of a machine: processors and GPUs."""

    cpus: int = 1
    gpus: int = 0


class _Answer(NamedTuple):
    """What a machine returns. mismatch: empty, or why jobs cannot run on that machine."""

    machine: str
    result: Any
    warnings: list[str]
    mismatch: str = ""


def spread(
    work: Callable[[J], R], jobs: Sequence[J], address: str, share: Share, name: Callable[[J], str]
) -> Generator[tuple[J, R | UserError], None, None]:
    """Run `work(job)` for every job on the cluster, and yield each job with its result, in the order of finishing.

    work: a function of a module of this package, which Python can import on every machine. name: gives a job's name for
    messages. If a job raises UserError, that is its result. If a job's process or machine ends, the job is run again
    elsewhere, up to RETRIES times; after that its result is a UserError. When the iterator is closed or left by an
    exception, running jobs are ended.

    Raises UserError if the cluster does not answer, has no room for a job or has other versions of this package.
    """
    if not jobs:
        return
    ray = _require_ray()
    with _only_own_output(), _connected(ray, address):
        _require_room(ray, share)
        # max_calls=0: processes are reused for further jobs, with the tracker that they have loaded, also on a GPU
        remote = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES, max_calls=0)(_run)
        running = {remote.remote(pickle.dumps((work, job)), _versions()): job for job in jobs}
        logged: set[str] = set()
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            yield job, _result(ray, done, name(job), logged)


def _run(packed: bytes, versions: dict[str, str]) -> _Answer:
    """Run one job; called in a process of some machine of the cluster."""
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


def _result(ray: ModuleType, done: Any, name: str, logged: set[str]) -> Any:
    """A job's result, or its UserError. Warnings of the machines are logged, each once (`logged`)."""
    try:
        answer: _Answer = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if "failed to import on the worker" in str(error):  # Ray has no class for this
            raise UserError("a machine of the cluster has no sot_tracker of this version: install it there") from None
        raise  # a fault of this program, with its traceback
    except ray.exceptions.RayError as error:
        why = _first_line(error)
        return UserError(
            f"{name}: its process was killed {RETRIES + 1} times, perhaps because memory was exhausted ({why})"
        )
    if answer.mismatch:
        raise UserError(f"machine {answer.machine} of the cluster cannot take part: {answer.mismatch}")
    for warning in answer.warnings:
        if warning not in logged:
            logged.add(warning)
            log.warning("%s (on machine %s)", warning, answer.machine)
    return answer.result


@contextlib.contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    handler = signal.getsignal(signal.SIGTERM)  # Ray replaces it
    with contextlib.ExitStack() as stack:
        if address == LOCAL:
            place = stack.enter_context(_folder_of_cluster())
            options |= {"num_cpus": cpus.usable(), "object_store_memory": 200 << 20, "include_dashboard": False}
            options |= {"_temp_dir": place, "_node_ip_address": "127.0.0.1"}  # not reachable from other machines
        else:
            _require_answer(address)
        stack.callback(_restore, handler)
        stack.callback(_shut_down, ray)
        try:
            ray.init(address=address, **options)
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            hint = " (if it requires a token, set RAY_AUTH_MODE=token)"
            if not address.startswith("ray://"):
                hint = " (this address works only on a machine of the cluster: elsewhere give ray://HOST:10001)"
            raise UserError(f"no connection to --ray {address}: {_first_line(error)}{hint}") from None
        yield


def _shut_down(ray: ModuleType) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its delayed reports
        ray.shutdown()


@contextlib.contextmanager
def _folder_of_cluster() -> Iterator[str]:
    """A folder for logs and sockets of a local cluster. It is deleted, and the cluster's processes are ended, even if
    this process is killed.
    """
    base = os.environ.get("RAY_TMPDIR", "/tmp")  # a short path, since names of sockets are limited in length
    place = tempfile.mkdtemp(prefix="sot-ray-", dir=base)
    command = [sys.executable, reaper.__file__, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # leaving the block waits for it
        yield place


def _restore(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _require_ray() -> ModuleType:
    """Import Ray, with its usage statistics turned off."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import grpc  # noqa: F401
        import ray
    except ModuleNotFoundError as error:
        raise MissingPackage(str(error.name), "--ray", "pip install 'sot_tracker[ray]'") from None
    return ray


def _require_answer(address: str) -> None:
    """Raise UserError within seconds if the address is malformed or no Ray cluster answers there.

    Ray itself would wait up to two minutes and could not be interrupted.
    """
    import grpc

    chosen = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    form = _FORM.fullmatch(chosen)
    if chosen != "auto" and not (form and 0 < int(form[2]) < 65536):
        raise UserError(f"--ray '{chosen}' is not an address: give auto, local, HOST:PORT or ray://HOST:PORT")
    where, is_client = _endpoint(chosen), chosen.startswith("ray://")
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # a call without TLS is not answered
    with grpc.insecure_channel(where, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_TIMEOUT)
        except grpc.FutureTimeoutError:
            raise UserError(f"--ray {address}: nothing answers as Ray does at {where} in {_TIMEOUT:g} s") from None
        if (_status(channel, _OF_CLIENT_PORT) != "UNIMPLEMENTED") != is_client:
            other = where if is_client else f"ray://{where}"
            raise UserError(f"--ray {address}: that port is for another kind of address: give {other}, or another port")
        needs_token = _status(channel, _OF_CLUSTER) == "UNAUTHENTICATED"
    if needs_token and address != "auto" and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise UserError(f"--ray {address}: it asks for a token: set RAY_AUTH_MODE=token, and see `ray get-auth-token`")


def _status(channel: Any, call: str) -> str:
    """The status of an empty call, "OK" or the name of a gRPC error."""
    import grpc

    try:
        channel.unary_unary(call)(b"", timeout=_TIMEOUT)
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
