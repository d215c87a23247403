"""What a chunk costs: the interpreter's calls must not grow with its packets, and memory stays within the budget."""

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from prio_assets.prio import encryption, seeds
from prio_assets.prio.domain import MAXIMUM_BINS, proof_length
from prio_assets.prio.encryption import PacketDecryptionKey, encrypt
from prio_assets.prio.engine import VerificationParameters
from prio_assets.prio.plain import DEFAULT_BUDGET_BYTES, PlainEngine, packets_per_chunk
from prio_assets.prio.proof import prove
from prio_assets.prio.shares import share_bytes, split
from tests.prio.chunks import repeated_chunk

KEY = PacketDecryptionKey.from_scalar(b"\x11" * 32)
PRIO = str(Path(encryption.__file__).parent)
PER_PACKET = {encryption.__file__, seeds.__file__}


def calls_in_prio(action: Callable[[], object]) -> int:
    """Calls of Python and C functions made by prio's modules, but for the two that go packet by packet."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        caller = frame.f_back if event == "call" else frame
        if event in {"call", "c_call"} and caller is not None:
            name = caller.f_code.co_filename
            count += name.startswith(PRIO) and name not in PER_PACKET

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def payload_of(bins: int, server_index: int) -> bytes:
    plaintext = bytes(32) if server_index == 1 else bytes(4 * proof_length(bins))
    return encrypt(KEY.public_point, plaintext)


@pytest.mark.parametrize("server_index", [0, 1])
@pytest.mark.parametrize("bins", [5, 100])
def test_calls_of_the_engine_do_not_grow_with_the_packets(server_index: int, bins: int) -> None:
    payload = payload_of(bins, server_index)
    parameters = VerificationParameters(bins, server_index)

    def verify(packets: int) -> None:
        chunk = repeated_chunk(payload, packets)
        PlainEngine().verify(chunk.select(chunk.r_pit > 0), [KEY], parameters)

    verify(1)  # fills the tables of roots
    few, many = (calls_in_prio(lambda packets=packets: verify(packets)) for packets in (4, 64))
    assert few > 0
    assert few == many


def test_calls_of_the_client_do_not_grow_with_the_packets() -> None:
    def make(packets: int) -> None:
        data, ones = np.ones((packets, 20), dtype=np.uint64), np.ones(packets, dtype=np.uint64)
        share_bytes(split(prove(data, ones, ones), random=bytes)[0])

    make(1)
    few, many = (calls_in_prio(lambda packets=packets: make(packets)) for packets in (4, 64))
    assert few > 0
    assert few == many


@pytest.mark.parametrize("server_index", [0, 1])
@pytest.mark.parametrize(
    ("bins", "budget_bytes"),
    [(1, 2**20), (5, 2**20), (64, 2**21), (255, 2**22), (1344, 2**23), (65535, 2**26), (MAXIMUM_BINS, 2**26)],
)
def test_memory_stays_within_the_budget(bins: int, budget_bytes: int, server_index: int) -> None:
    chunk = repeated_chunk(payload_of(bins, server_index), packets_per_chunk(bins, budget_bytes))
    tracemalloc.start()
    result = PlainEngine().verify(chunk, [KEY], VerificationParameters(bins, server_index))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not result.status.any()
    assert peak <= budget_bytes


def test_chunks_have_at_least_one_packet_and_use_their_budget() -> None:
    assert packets_per_chunk(MAXIMUM_BINS, 1) == 1
    assert packets_per_chunk(MAXIMUM_BINS) <= 2
    assert packets_per_chunk(64) > 5000
    assert packets_per_chunk(64, 2 * DEFAULT_BUDGET_BYTES) == pytest.approx(2 * packets_per_chunk(64), rel=0.01)
