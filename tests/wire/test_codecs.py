"""The codecs, and that a block is never more than its bound."""

import contextlib
import tracemalloc
import zlib

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.errors import MalformedError
from prio_assets.wire.codecs import compress, decompress

LIMIT = 1000


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
@given(block=st.binary(max_size=300))
def test_what_is_compressed_decompresses(codec: str, block: bytes) -> None:
    assert decompress(compress(block, codec), codec, LIMIT) == block


def test_what_follows_deflate_data_is_not_looked_at_because_fastavro_leaves_something() -> None:
    assert decompress(zlib.compress(b"x" * 100)[2:-1], "deflate", LIMIT) == b"x" * 100


def test_null_leaves_a_block_as_it_is() -> None:
    assert compress(b"block", "null") == b"block"


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
@given(stored=st.binary(max_size=60))
def test_any_bytes_are_a_block_or_malformed(codec: str, stored: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert isinstance(decompress(stored, codec, LIMIT), bytes)


@pytest.mark.parametrize(
    ("codec", "stored"),
    [
        ("deflate", raw_deflate(b"x" * 100)[:-1]),
        ("snappy", bytes(cramjam.snappy.compress_raw(b"x" * 100)) + bytes(4)),
        ("snappy", b""),
        ("snappy", b"\xff" * 9),
    ],
    ids=["cut off", "wrong checksum", "empty", "no size"],
)
def test_damaged_blocks_are_malformed(codec: str, stored: bytes) -> None:
    with pytest.raises(MalformedError, match="a block"):
        decompress(stored, codec, LIMIT)


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
def test_a_block_over_the_limit_is_malformed_and_the_error_names_the_limit(codec: str) -> None:
    with pytest.raises(MalformedError, match="limit of 1000 bytes"):
        decompress(compress(bytes(1001), codec), codec, 1000)
    assert decompress(compress(bytes(1000), codec), codec, 1000) == bytes(1000)


def test_a_snappy_size_without_data_is_not_allocated() -> None:
    stated = 200 * 2**20
    varint = bytes([stated >> shift & 0x7F | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21)])
    tracemalloc.start()
    with pytest.raises(MalformedError, match="size that it cannot have"):
        decompress(varint + bytes(20), "snappy", 256 * 2**20)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_the_snappy_ratio_holds_for_the_most_compressible_block() -> None:
    block = bytes(2**22)
    assert decompress(compress(block, "snappy"), "snappy", len(block)) == block
