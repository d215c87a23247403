"""The directory for what is made once on a machine and loaded later: machine code, so the user's own."""

import os
import stat
from pathlib import Path


def cache_directory(name: str) -> Path:
    """The directory `name` in ours, made if it is not there: below XDG_CACHE_HOME, or else below ~/.cache.

    Raises OSError where none can be written, or where another user could write there.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise OSError("there is no home directory: set XDG_CACHE_HOME") from None
    directory = base / "prio-assets" / name
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"others can write to {directory}: set XDG_CACHE_HOME to a directory of your own")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OSError(f"{directory} cannot be written: set XDG_CACHE_HOME to a directory that can")
    return directory
