"""The codecs of Avro container blocks, with a bound on what a block may become.

The bound holds before anything is allocated: a block states its size, compressed or not, in a word that anyone may have
written.
"""

import zlib

import cramjam

from prio_assets.errors import MalformedError

RAW_DEFLATE = -15
SNAPPY_CHECKSUM_BYTES = 4
SNAPPY_GREATEST_RATIO = 22
"""A snappy element of 3 bytes makes at most 64."""


def compress(block: bytes, codec: str) -> bytes:
    """A block as the codec `null`, `deflate` or `snappy` stores it."""
    if codec == "deflate":
        compressor = zlib.compressobj(wbits=RAW_DEFLATE)
        return compressor.compress(block) + compressor.flush()
    if codec == "snappy":
        checksum = zlib.crc32(block).to_bytes(SNAPPY_CHECKSUM_BYTES, "big")
        return bytes(cramjam.snappy.compress_raw(block)) + checksum
    return block


def decompress(stored: bytes, codec: str, limit: int) -> bytes:
    """What `compress` was given, at most `limit` bytes; else MalformedError."""
    return _inflate(stored, limit) if codec == "deflate" else _decompress_snappy(stored, limit)


def _inflate(stored: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=RAW_DEFLATE)
    try:
        block = decompressor.decompress(stored, limit + 1)
    except zlib.error as error:
        raise MalformedError(f"a block is not deflate data ({error})") from None
    if len(block) > limit:
        raise MalformedError(f"a block decompresses to more than the limit of {limit} bytes")
    if not decompressor.eof:
        raise MalformedError("a block's deflate data ends early")
    # What follows the deflate data is not looked at: fastavro leaves part of a zlib checksum there.
    return block


def _decompress_snappy(stored: bytes, limit: int) -> bytes:
    compressed, checksum = stored[:-SNAPPY_CHECKSUM_BYTES], stored[-SNAPPY_CHECKSUM_BYTES:]
    size = _snappy_size(compressed)
    if size > limit:
        raise MalformedError(f"a block decompresses to more than the limit of {limit} bytes")
    if size > SNAPPY_GREATEST_RATIO * len(compressed):
        raise MalformedError("a block's snappy data states a size that it cannot have")
    try:
        block = bytes(cramjam.snappy.decompress_raw(compressed))
    except cramjam.DecompressionError as error:
        raise MalformedError(f"a block is not snappy data ({error})") from None
    if zlib.crc32(block).to_bytes(SNAPPY_CHECKSUM_BYTES, "big") != checksum:
        raise MalformedError("a block's snappy checksum differs")
    return block


def _snappy_size(compressed: bytes) -> int:
    """The decompressed size that raw snappy data begins with, as a varint of at most 5 bytes."""
    size = 0
    for place, byte in enumerate(compressed[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    raise MalformedError("a block's snappy data has no size")
