"""Which texts are names of objects, in every store alike."""

from prio_assets.errors import StorageError, quoted

MAXIMUM_COMPONENTS = 32
"""Most components that a name may have. Those of the objects here have about ten."""

_FORBIDDEN = ("//", "/./", "/../", "\0")
"""What no name holds once a '/' is set before and after it: components that are empty, `.` or `..`."""


def is_name(name: str) -> bool:
    """Whether this can be an object's name."""
    return name.count("/") < MAXIMUM_COMPONENTS and has_only_components(name)


def has_only_components(name: str) -> bool:
    """Whether all of the name's components may be those of an object. The name is searched as a whole, for speed."""
    bounded = f"/{name}/"
    return not any(forbidden in bounded for forbidden in _FORBIDDEN) and _is_text(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as of a file's name that is not UTF-8
        return False
    return True


def check_name(name: str) -> None:
    """Raise `StorageError` for what cannot be an object's name."""
    if not is_name(name):
        raise StorageError(f"{quoted(name)} cannot be an object's name")


def check_prefix(prefix: str) -> None:
    """Raise `StorageError` if what stands before the last '/' cannot be a folder. What is behind it may be any text."""
    if "\0" in prefix or not _is_text(prefix):
        raise StorageError(f"no name begins with {quoted(prefix)}")
    folder, slash, _ = prefix.rpartition("/")
    if slash:
        check_name(folder)


def check_folder(prefix: str) -> None:
    """Raise `StorageError` for what is neither "" nor a folder that ends in '/'."""
    if prefix and not prefix.endswith("/"):
        raise StorageError(f"the folder {quoted(prefix)} does not end in '/'")
    check_prefix(prefix)
