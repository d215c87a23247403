"""Key agreement with eight points at a time: the multi-buffer part of Intel's Cryptography Primitives Library.

The package `ipp-crypto` brings the library, for x86-64 Linux. The library names Intel's compiler run-time (145 MB) as
needed, but uses no symbol of it. So what is loaded is a private copy that names libc in its stead. It is made only from
a file whose SHA-256 is listed here, and has a SHA-256 of its own, compared at each load. The installed file stays as it
is.
"""

import ctypes
import hashlib
import struct
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numpy.typing import NDArray

from prio_assets.prio.agreement import SECRET_BYTES, SharedSecrets
from prio_assets.prio.cache import cache_directory
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.jit import inlined, kernel

LANES: Final = 8

_FILE: Final = "libcrypto_mb.so.13"
_TRIED: Final = {
    # ipp-crypto 2026.2.0
    "75adfaef19bd54503b1403b34b00a885fb3690235839559ca8119cc608745d0c": (
        "bb30f6d127b4f77b80fc7bf19b477fc8212dfeedff4ab74d6b6b4b561a27b4d9"
    ),
}
"""SHA-256 of the library in the versions that were tried, and that of the private copy of each."""

_UNUSED: Final = (b"libsvml.so", b"libirng.so", b"libimf.so", b"libintlc.so.5")
_SUBSTITUTE: Final = b"libc.so.6"

_P256: Final = 5  # MBX_ALGO_ECDHE_NIST_P256
_EIGHT_LANES: Final = 0x8  # MBX_WIDTH_MB8
_FIELD: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_COORDINATE_BYTES: Final = 32
_UNCOMPRESSED: Final = 4

_SYMBOL: Final = "prio_assets_mbx_nistp256_ecdh_mb8"
_agree_eight: Any = types.ExternalFunction(_SYMBOL, types.uint32(*(types.uintp,) * 6))


class MultibufferAgreement:
    """The loaded library; OSError, which says why, where there is none, or none that was tried, or that runs here."""

    name = "multi-buffer"

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_private_copy(_installed())))
        get_algo_info = self._library.mbx_get_algo_info
        get_algo_info.restype = ctypes.c_uint64
        # Any other call would end the process where the processor lacks what the library needs.
        if not get_algo_info(_P256) & _EIGHT_LANES:
            raise OSError("this processor lacks AVX-512 IFMA")
        function = self._library.mbx_nistp256_ecdh_mb8
        llvm.add_symbol(_SYMBOL, ctypes.cast(function, ctypes.c_void_p).value)
        self._field = np.frombuffer(_FIELD.to_bytes(_COORDINATE_BYTES, "big"), dtype=np.uint8)

    def agree(self, points: NDArray[np.uint8], key: PacketDecryptionKey) -> SharedSecrets:
        secrets = np.empty((len(points), SECRET_BYTES), dtype=np.uint8)
        are_points = np.empty(len(points), dtype=np.bool_)
        _agree(np.ascontiguousarray(points), key.scalar(), self._field, secrets, are_points)
        return SharedSecrets(secrets, are_points)


def _installed() -> Path:
    try:
        files = distribution("ipp-crypto").files or []
    except PackageNotFoundError:
        raise OSError("the package ipp-crypto is not installed: pip install 'prio-assets[fast]'") from None
    found = [file.locate() for file in files if file.name == _FILE]
    if not found:
        raise OSError(f"the package ipp-crypto brings no {_FILE}: install the version of constraints.txt")
    return Path(str(found[0]))


def _private_copy(installed: Path) -> Path:
    """The copy of a tried library, in our cache; made if it is not there or differs."""
    data = installed.read_bytes()
    expected = _TRIED.get(_digest(data))
    if expected is None:
        raise OSError(f"{installed} is no version that was tried: install the version of constraints.txt")
    copy = cache_directory("libraries") / f"{expected}.so"
    if not copy.exists() or _digest(copy.read_bytes()) != expected:
        _write(copy, _without_unused(data))
    if _digest(copy.read_bytes()) != expected:
        raise OSError(f"{copy} is not what was written: remove it")
    return copy


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: other processes may be loading it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            temporary.chmod(0o500)
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise


def _without_unused(library: bytes) -> bytes:
    """The ELF file with other names in the dynamic section's entries of what it needs and does not use."""
    copy = bytearray(library)
    segments = list(_segments(library))
    dynamic, size = next((offset, size) for kind, offset, _, size in segments if kind == 2)  # PT_DYNAMIC
    entries = {at: struct.unpack_from("<QQ", library, at) for at in range(dynamic, dynamic + size, 16)}
    (strings,) = (value for tag, value in entries.values() if tag == 5)  # DT_STRTAB, an address
    start = next(
        strings - address + offset
        for kind, offset, address, size in segments
        if kind == 1 and address <= strings < address + size  # PT_LOAD
    )
    needed = {at: value for at, (tag, value) in entries.items() if tag == 1}  # DT_NEEDED
    names = {at: library[start + value : library.index(0, start + value)] for at, value in needed.items()}
    substitute = next(needed[at] for at, name in names.items() if name == _SUBSTITUTE)
    for at, name in names.items():
        if name in _UNUSED:
            struct.pack_into("<Q", copy, at + 8, substitute)
    return bytes(copy)


def _segments(library: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(kind, offset in the file, address, size in the file) of each program header."""
    (table,) = struct.unpack_from("<Q", library, 0x20)
    entry_bytes, count = struct.unpack_from("<HH", library, 0x36)
    for number in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", library, table + number * entry_bytes)
        yield kind, offset, address, size


@inlined
def _is_below(number: NDArray[np.uint8], limit: NDArray[np.uint8]) -> bool:
    """Of big-endian numbers."""
    for i in range(_COORDINATE_BYTES):
        if number[i] != limit[i]:
            return bool(number[i] < limit[i])
    return False


@kernel
def _agree(
    points: NDArray[np.uint8],
    scalar: NDArray[np.uint8],
    field: NDArray[np.uint8],
    secrets: NDArray[np.uint8],
    are_points: NDArray[np.bool_],
) -> None:
    """Fills secrets [n, 32] and are_points [n].

    The library checks the curve's equation, but not that x and y are below p.
    """
    coordinates = np.empty((2, LANES, _COORDINATE_BYTES), dtype=np.uint8)
    spare = np.empty(SECRET_BYTES, dtype=np.uint8)
    pointers = np.empty((4, LANES), dtype=np.uint64)
    for lane in range(LANES):
        pointers[1, lane] = scalar.ctypes.data
        pointers[2, lane] = coordinates[0, lane].ctypes.data
        pointers[3, lane] = coordinates[1, lane].ctypes.data
    row = pointers.ctypes.data
    for first in range(0, len(points), LANES):
        for lane in range(LANES):
            # The last group's empty lanes take its first point.
            exists = first + lane < len(points)
            position = first + lane if exists else first
            for i in range(_COORDINATE_BYTES):
                coordinates[0, lane, i] = points[position, _COORDINATE_BYTES - i]
                coordinates[1, lane, i] = points[position, 2 * _COORDINATE_BYTES - i]
            pointers[0, lane] = secrets[position].ctypes.data if exists else spare.ctypes.data
        status = _agree_eight(row, row + 64, row + 128, row + 192, 0, 0)
        for lane in range(min(LANES, len(points) - first)):
            point = points[first + lane]
            are_points[first + lane] = (
                (status >> (4 * lane)) & 15 == 0
                and point[0] == _UNCOMPRESSED
                and _is_below(point[1 : 1 + _COORDINATE_BYTES], field)
                and _is_below(point[1 + _COORDINATE_BYTES :], field)
            )
