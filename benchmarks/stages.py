"""Each stage of an intake and of its sum by itself, over packets in memory, on one core."""

import hashlib
import io
from collections.abc import Callable, Iterator
from itertools import chain
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import PLAIN, fastest_agreement, make_engine
from benchmarks.figures import Stage
from benchmarks.parties import PARTIES, ROLES
from benchmarks.sizes import Sizes
from benchmarks.timing import measure
from prio_assets.prio import field, seeds
from prio_assets.prio.agreement import SingleAgreement
from prio_assets.prio.encryption import POINT_BYTES, decrypt_payloads
from prio_assets.prio.engine import Chunk, Engine, VerificationParameters
from prio_assets.prio.field import Elements
from prio_assets.prio.shares import ShareLayout
from prio_assets.prio.verifier import verification_messages
from prio_assets.processor.aggregation import join
from prio_assets.storage.base import read_bytes
from prio_assets.wire.names import ingestion_objects
from prio_assets.wire.packets import (
    ValidityPackets,
    decode_validity_packets,
    digest,
    encode_validity_packets,
    read_chunks,
)

READING: Final = "reading"
HASHING: Final = "SHA-256"
AGREEMENT: Final = "key agreement"
DECRYPTION: Final = "key derivation, AES-GCM"
ELEMENTS: Final = "seed or elements"
EVALUATION: Final = "evaluation"
ENCODING: Final = "validity encoding"
INTAKE_STAGES: Final = (AGREEMENT, HASHING, READING, DECRYPTION, ELEMENTS, EVALUATION, ENCODING)
DECODING: Final = "validity decoding"
JOINING: Final = "joining"
"""By UUID, with the check of the proofs."""
SUM_STAGES: Final = (DECODING, JOINING)

_REPETITIONS: Final = 5


def measure_stages(sizes: Sizes, engine: str) -> Iterator[Stage]:
    """For all bins and both roles."""
    verifier = make_engine(engine)
    for bins in sizes.packets:
        for role in ROLES:
            sample = _Sample(sizes, engine, verifier, bins, role)
            loops = _plain_loops(sample) if verifier.name == PLAIN else _compiled_loops(sample)
            for name, microseconds in chain(_reading(sample), loops, _validities(sample)):
                yield Stage(engine, bins, role, name, microseconds)


class _Sample:
    """A packet file as bytes, its first chunk, and a validation of as many packets as the file has."""

    def __init__(self, sizes: Sizes, engine: str, verifier: Engine, bins: int, role: str) -> None:
        dataset = sizes.dataset(engine, bins)
        self.engine, self.verifier, self.bins, self.server_index = engine, verifier, bins, ROLES.index(role)
        self.key, self.packets = PARTIES[role].packet_key, dataset.packets
        (batch,) = dataset.names()
        self.data = read_bytes(dataset.ingestion(role), ingestion_objects(batch).packets, limit=2**30)
        self.digest = digest(self.data)
        self.chunk = next(self.chunks())
        found = verifier.verify(self.chunk, [self.key], VerificationParameters(bins, self.server_index))
        if found.status.any():
            raise ValueError(f"packets of {dataset} were not accepted: remove .bench and try again")
        self.f_r = found.f_r
        uuids = np.frombuffer(np.random.default_rng(0).bytes(16 * self.packets), dtype=np.uint8).reshape(-1, 16)
        values = (np.resize(column, self.packets) for column in (found.f_r, found.g_r, found.h_r))
        self.validity = ValidityPackets(uuids, *values)

    def chunks(self) -> Iterator[Chunk]:
        """As intake reads them."""
        per_chunk = self.verifier.packets_per_chunk(self.bins)
        return read_chunks(io.BytesIO(self.data), self.digest, "the packet file", per_chunk)

    def points(self) -> NDArray[np.uint8]:
        """The chunk's ephemeral points, uint8 [n, 65]."""
        buffer = np.frombuffer(self.chunk.buffer, dtype=np.uint8)
        found: NDArray[np.uint8] = buffer[self.chunk.payload_offsets[:, np.newaxis] + np.arange(POINT_BYTES)]
        return found


def _reading(sample: _Sample) -> Iterator[tuple[str, float]]:
    """The file is hashed while it is read: what reading takes by itself is the difference."""
    hashing = _microseconds(lambda: hashlib.sha256(sample.data).digest(), sample.packets)
    both = _microseconds(lambda: sum(len(chunk) for chunk in sample.chunks()), sample.packets)
    yield HASHING, hashing
    yield READING, max(0.0, both - hashing)


def _compiled_loops(sample: _Sample) -> Iterator[tuple[str, float]]:
    from benchmarks.kernels import Loops  # noqa: PLC0415 (numba is an extra)

    agreement, points, count = fastest_agreement(sample.engine), sample.points(), len(sample.chunk)
    yield AGREEMENT, _microseconds(lambda: agreement.agree(points, sample.key), count)
    secrets = agreement.agree(points, sample.key).secrets
    with Loops(sample.chunk, secrets, sample.bins, sample.server_index) as loops:
        fill = loops.read if sample.server_index == 0 else loops.expand
        yield DECRYPTION, _microseconds(loops.decrypt, count)
        yield ELEMENTS, _microseconds(fill, count)
        yield EVALUATION, _microseconds(loops.evaluate, count)
        if loops.evaluate()[-1] != sample.f_r[-1]:
            raise ValueError("the stages give other numbers than the engine")


def _plain_loops(sample: _Sample) -> Iterator[tuple[str, float]]:
    """Of `decrypt_payloads` the key agreement is the greatest part."""
    chunk, count, layout = sample.chunk, len(sample.chunk), ShareLayout(sample.bins)
    agreement, points = SingleAgreement(), sample.points()
    plaintext_bytes = seeds.SEED_BYTES if sample.server_index else field.ELEMENT_BYTES * layout.length
    decrypt = lambda: decrypt_payloads(  # noqa: E731 (used twice, here alone)
        chunk.buffer, chunk.payload_offsets, chunk.payload_lengths, [sample.key], plaintext_bytes
    )
    plaintexts = decrypt().plaintexts

    def fill() -> Elements:
        return seeds.expand(plaintexts, layout.length) if sample.server_index else _elements(plaintexts)

    shares, r_pit = fill(), field.reduce(chunk.r_pit.astype(np.uint64))
    agreeing = _microseconds(lambda: agreement.agree(points, sample.key), count)
    yield AGREEMENT, agreeing
    yield DECRYPTION, max(0.0, _microseconds(decrypt, count) - agreeing)
    yield ELEMENTS, _microseconds(fill, count)
    yield (
        EVALUATION,
        _microseconds(lambda: verification_messages(shares, r_pit, sample.bins, sample.server_index), count),
    )


def _elements(plaintexts: NDArray[np.uint8]) -> Elements:
    shares = field.from_bytes(plaintexts)
    if not field.is_element(shares).all():
        raise ValueError("a share holds a value that is no field element")
    return shares


def _validities(sample: _Sample) -> Iterator[tuple[str, float]]:
    """The peer's numbers are ours here, so no proof holds: joining costs a little more then."""
    packets, count = sample.validity, sample.packets
    data = encode_validity_packets(packets, b"")
    yield ENCODING, _microseconds(lambda: encode_validity_packets(packets, b""), count)
    yield DECODING, _microseconds(lambda: decode_validity_packets(data, "the validations"), count)
    yield JOINING, _microseconds(lambda: join(packets, packets), count)


def _microseconds(function: Callable[[], object], packets: int) -> float:
    function()  # compiles, and fills caches
    return median(measure(function).per(packets).processor for _ in range(_REPETITIONS))
