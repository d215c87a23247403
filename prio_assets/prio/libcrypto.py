"""The system's libcrypto (OpenSSL 3), as kernels call it: all primitives are its own, only the loops are ours.

`cryptography` carries a libcrypto that exports nothing; this is the one that Python's `ssl` uses. The compiler learns
the functions' addresses by name, so that machine code that another process compiled finds them too.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import llvmlite.binding as llvm
from numba import types

from prio_assets.errors import OperationalError

NONCE_BYTES: Final = 16
TAG_BYTES: Final = 16
SHA256_STATE_WORDS: Final = 14
"""SHA256_CTX has 112 bytes."""
SET_TAG: Final = 0x11
"""EVP_CTRL_AEAD_SET_TAG."""

_LIBRARY: Final = "libcrypto.so.3"
_SET_IV_LENGTH: Final = 0x9  # EVP_CTRL_AEAD_SET_IVLEN
_PREFIX: Final = "prio_assets_"
_POINTER: Final = types.uintp
_INT: Final = types.int32


def _function(name: str, *arguments: Any) -> Any:
    return types.ExternalFunction(_PREFIX + name, _INT(*arguments))


sha256_init = _function("SHA256_Init", _POINTER)
sha256_update = _function("SHA256_Update", _POINTER, _POINTER, types.uint64)
sha256_final = _function("SHA256_Final", _POINTER, _POINTER)
decrypt_init = _function("EVP_DecryptInit_ex", _POINTER, _POINTER, _POINTER, _POINTER, _POINTER)
decrypt_update = _function("EVP_DecryptUpdate", _POINTER, _POINTER, _POINTER, _POINTER, _INT)
decrypt_final = _function("EVP_DecryptFinal_ex", _POINTER, _POINTER, _POINTER)
encrypt_init = _function("EVP_EncryptInit_ex", _POINTER, _POINTER, _POINTER, _POINTER, _POINTER)
encrypt_update = _function("EVP_EncryptUpdate", _POINTER, _POINTER, _POINTER, _POINTER, _INT)
control = _function("EVP_CIPHER_CTX_ctrl", _POINTER, _INT, _INT, _POINTER)

_CALLED: Final = (
    sha256_init, sha256_update, sha256_final,
    decrypt_init, decrypt_update, decrypt_final,
    encrypt_init, encrypt_update, control,
)  # fmt: skip


class Libcrypto:
    """The loaded library; OSError where there is none of OpenSSL 3 that has all we call."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY)
        try:
            for function in _CALLED:
                exported = getattr(library, function.symbol.removeprefix(_PREFIX))
                llvm.add_symbol(function.symbol, ctypes.cast(exported, ctypes.c_void_p).value)
            for name in ("EVP_CIPHER_fetch", "EVP_CIPHER_CTX_new"):
                getattr(library, name).restype = ctypes.c_void_p
            library.EVP_CIPHER_fetch.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
            library.EVP_CipherInit_ex.argtypes = [ctypes.c_void_p] * 5 + [ctypes.c_int]
            library.EVP_CIPHER_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
            library.EVP_CIPHER_CTX_free.argtypes = [ctypes.c_void_p]
        except AttributeError as error:
            raise OSError(f"{_LIBRARY} lacks a function ({error})") from None
        self._library = library
        self._gcm = self._cipher("AES-128-GCM")
        self._counter_mode = self._cipher("AES-128-CTR")

    @contextmanager
    def decryption(self) -> Iterator[int]:
        """A context of AES-128-GCM with nonces of 16 bytes, for one thread."""
        with self._context(self._gcm, encrypts=False) as context:
            self._check(self._library.EVP_CIPHER_CTX_ctrl(context, _SET_IV_LENGTH, NONCE_BYTES, None))
            yield context

    @contextmanager
    def stream(self) -> Iterator[int]:
        """A context of AES-128 in counter mode, for one thread."""
        with self._context(self._counter_mode, encrypts=True) as context:
            yield context

    def _cipher(self, name: str) -> int:
        cipher = self._library.EVP_CIPHER_fetch(None, name.encode(), None)
        if not cipher:
            raise OSError(f"{_LIBRARY} has no {name}")
        return int(cipher)

    @contextmanager
    def _context(self, cipher: int, *, encrypts: bool) -> Iterator[int]:
        context = self._library.EVP_CIPHER_CTX_new()
        self._check(context is not None)
        try:
            self._check(self._library.EVP_CipherInit_ex(context, cipher, None, None, None, encrypts))
            yield context
        finally:
            self._library.EVP_CIPHER_CTX_free(context)

    @staticmethod
    def _check(status: int) -> None:
        if status != 1:
            raise OperationalError(f"{_LIBRARY} cannot make a cipher's context, perhaps for lack of memory: try again")
