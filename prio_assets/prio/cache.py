"""The directory for what is made once on a machine and loaded later: machine code, so the user's own."""

import os
import stat
from pathlib import Path


def cache_directory(name: str) -> Path:
    """The directory `name` in ours, made if it is not there: below XDG_CACHE_HOME, or else below ~/.cache.

    It need not be writable: it may have been filled beforehand, by this user or by root. Raises OSError where it cannot
    be made, or another user could write there.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise OSError("there is no home directory: set XDG_CACHE_HOME") from None
    ours = base / "prio-assets"
    for directory in (ours, ours / name):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = directory.stat()
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(f"others can write to {directory}: set XDG_CACHE_HOME to a directory of your own")
    return ours / name
