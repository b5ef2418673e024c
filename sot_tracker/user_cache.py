"""The user's cache folder. Its files can be made again, and may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sot_tracker.atomic import write_bytes
from sot_tracker.errors import UserError

log = logging.getLogger(__name__)

_DIGEST = hashlib.sha256().digest_size


def place(name: str) -> Path:
    """The cache's subfolder of that name, which may not exist: ~/.cache/sot_tracker/NAME, or in $XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sot_tracker" / name


def keyed_file(folder: str, name: str, key: Mapping[str, Any], suffix: str) -> Path:
    """The path NAME-HASH.SUFFIX in that subfolder.

    key: everything on which the content depends; it is hashed as JSON.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return place(folder) / f"{name}-{digest}{suffix}"


def read_sealed(path: Path) -> bytes | None:
    """The content that `write_sealed` stored; None if there is none or it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    seal, content = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(content).digest() == seal:
        return content
    log.warning("%s is damaged and is made again", path)
    return None


def write_sealed(path: Path, content: bytes) -> None:
    """Store the content with its sha256 in front.

    Failures are only logged: the content is then made again each time.
    """
    try:
        write_bytes(path, hashlib.sha256(content).digest() + content)
    except UserError as error:
        log.info("%s", error)
