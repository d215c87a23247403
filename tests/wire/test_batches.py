"""Signed batches: those of the reference are read, and each part that is tampered with is found, in either form."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf, nan
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from prio_assets.errors import BatchReason, BatchRejected, ObjectMissingError
from prio_assets.wire.batches import (
    SealedBatch,
    check_packet_digest,
    check_parameters,
    check_path,
    open_header,
    open_signature,
    open_single_object,
    parts_of_batch,
    read_sum_part,
    read_validation,
    seal,
    stored_validation,
    verify_header,
)
from prio_assets.wire.keys import SigningKey, VerificationKeys, parse_verification_key
from prio_assets.wire.names import BatchName, ingestion_objects, sum_part_objects, validity_objects
from prio_assets.wire.packets import (
    ValidityPackets,
    decode_invalid_packets,
    digest,
    encode_invalid_packets,
    encode_validity_packets,
)
from prio_assets.wire.records import (
    SMALL_RECORD_BYTES,
    BatchSignature,
    IngestionHeader,
    Parameters,
    SumPart,
    ValidityHeader,
    encode,
)
from prio_assets.wire.windows import Window, parse_minute, to_ms

PRIME = 4293918721
INTEROP = sorted((Path(__file__).parents[1] / "interop").glob("*/case.json"))
OWNERS = {0: "pha", 1: "facilitator"}


class Case(NamedTuple):
    """A folder of the reference's batches."""

    folder: Path
    facts: dict[str, Any]

    def keys(self, party: str) -> VerificationKeys:
        key = json.loads((self.folder / "keys.json").read_text())[party]
        return {key["id"]: parse_verification_key(key["public_pem"])}

    def batches(self) -> Iterator[tuple[dict[str, Any], BatchName]]:
        for batch in self.facts["batches"]:
            yield batch, BatchName(self.facts["aggregation"], parse_minute(batch["time"]), UUID(batch["id"]))

    @property
    def window(self) -> Window:
        return Window(*map(parse_minute, self.facts["window"]))


@pytest.fixture(params=INTEROP, ids=lambda path: path.parent.name)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param.parent, json.loads(request.param.read_text()))


def reader(folder: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        if not (folder / name).exists():
            raise ObjectMissingError(f"{name} is missing")
        return (folder / name).read_bytes()

    return read


def test_there_are_cases_of_the_reference() -> None:
    assert len(INTEROP) == 8


def test_ingestion_headers_of_the_reference(case: Case) -> None:
    for owner in OWNERS.values():
        read = reader(case.folder / owner / "ingestion")
        for _, batch in case.batches():
            names = ingestion_objects(batch)
            data = read(names.header)
            verify_header(
                data, open_signature(read(names.signature), names.signature), case.keys("ingestor"), names.header
            )
            header = open_header(IngestionHeader, data, names.header)
            check_path(header, batch, names.header)
            check_parameters(header.parameters, names.header)
            check_packet_digest(header, read(names.packets), names.packets)
            assert (header.bins, header.epsilon) == (case.facts["bins"], case.facts["epsilon"])


def test_validations_of_the_reference(case: Case) -> None:
    for facts, batch in case.batches():
        both = []
        for index, writer in OWNERS.items():
            bucket = case.folder / OWNERS[1 - index] / "peer-validation"
            validation = read_validation(reader(bucket), batch, index, case.keys(writer))
            assert (validation.header.bins, validation.header.epsilon) == (case.facts["bins"], case.facts["epsilon"])
            assert len(validation.packets) == facts["packets"] - len(facts.get(f"missing_at_{writer}", []))
            whole = not (bucket / validity_objects(batch, index).header).exists()
            assert whole is case.facts["single_object"][writer]
            both.append(validation.packets)
        assert invalid_proofs(*both) == {UUID(text) for text in facts.get("invalid_proofs", [])}


def invalid_proofs(first: ValidityPackets, second: ValidityPackets) -> set[UUID]:
    """The packets at both whose proof does not hold, by integers alone."""
    values = [
        {
            UUID(bytes=row.tobytes()): tuple(map(int, point))
            for row, *point in zip(p.uuids, p.f_r, p.g_r, p.h_r, strict=True)
        }
        for p in (first, second)
    ]
    sums = {
        uuid: [a + b for a, b in zip(values[0][uuid], values[1][uuid], strict=True)]
        for uuid in values[0].keys() & values[1].keys()
    }
    return {uuid for uuid, (f_r, g_r, h_r) in sums.items() if (f_r * g_r - h_r) % PRIME}


def test_sum_parts_of_the_reference(case: Case) -> None:
    aggregation, instance = case.facts["aggregation"], case.facts["instance"]
    sums = []
    for index, owner in OWNERS.items():
        part = read_sum_part(
            reader(case.folder / "portal" / owner), instance, aggregation, case.window, index, case.keys(owner)
        )
        answered = case.facts["reference"][owner]
        assert part.header.total_individual_clients == answered["total_individual_clients"]
        assert [str(uuid) for uuid in part.header.batch_uuids] == answered["batch_uuids"]
        assert part.header.aggregation_start_time == to_ms(case.window.start)
        assert part.header.aggregation_end_time == to_ms(case.window.end)
        invalid = [UUID(bytes=row.tobytes()) for row in part.invalid_packets]
        assert invalid == [UUID(text) for text in answered["invalid_uuids"]]
        sums.append(part.header.sum)
    assert [(a + b) % PRIME for a, b in zip(*sums, strict=True)] == case.facts["truth"]["sum"]


# Batches of our own, and what may be wrong with them

INDEX = 1
ID = UUID("b8a5579a-f984-460a-a42d-2813cbf57771")
BATCH = BatchName("kittens-seen", datetime(2020, 10, 31, 20, 29, tzinfo=UTC), ID)
WINDOW = Window(datetime(2020, 10, 31, 16, tzinfo=UTC), datetime(2020, 11, 1, tzinfo=UTC))
KEY = SigningKey("projects/p/cryptoKeyVersions/1", derive_private_key(0x1234, SECP256R1()))
STRANGER = SigningKey("stranger", derive_private_key(0x4321, SECP256R1()))
KEYS = {KEY.identifier: KEY.public, "older": derive_private_key(0x1111, SECP256R1()).public_key()}

PACKETS = encode_validity_packets(
    ValidityPackets(
        np.arange(48, dtype=np.uint8).reshape(3, 16),
        np.array([1, 2, PRIME - 1], dtype=np.uint64),
        np.array([4, 5, 6], dtype=np.uint64),
        np.array([7, 8, 0], dtype=np.uint64),
    ),
    b"seed",
)
HEADER = ValidityHeader(
    batch_uuid=ID,
    name="kittens-seen",
    bins=10,
    epsilon=0.11,
    prime=PRIME,
    number_of_servers=2,
    hamming_weight=None,
    packet_file_digest=digest(PACKETS),
)
NAMES = validity_objects(BATCH, INDEX)
FORMS = ["three objects", "single object"]

Objects = dict[str, bytes]


def stored(sealed: SealedBatch, form: str) -> Objects:
    if form == "single object":
        return {NAMES.signature: sealed.single_object()}
    return dict(zip(NAMES, sealed.three_objects(), strict=True))


def read_from(objects: Objects) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        if name not in objects:
            raise ObjectMissingError(f"{name} is missing")
        return objects[name]

    return read


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


@pytest.mark.parametrize("key", [KEY, SigningKey("older", derive_private_key(0x1111, SECP256R1()))])
def test_a_sealed_validation_is_read_in_either_form(form: str, key: SigningKey) -> None:
    sealed = seal(HEADER, PACKETS, key)
    validation = read_validation(read_from(stored(sealed, form)), BATCH, INDEX, KEYS)
    assert validation.header == HEADER
    assert validation.sealed == sealed
    assert validation.packets.f_r.tolist() == [1, 2, PRIME - 1]
    assert validation.packets.uuids.tolist() == np.arange(48).reshape(3, 16).tolist()


def test_sealing_again_gives_the_same_bytes() -> None:
    assert seal(HEADER, PACKETS, KEY).single_object() == seal(HEADER, PACKETS, KEY).single_object()
    assert seal(HEADER, PACKETS, KEY).three_objects() == seal(HEADER, PACKETS, KEY).three_objects()


def test_the_forms_are_told_apart() -> None:
    sealed = seal(HEADER, PACKETS, KEY)
    assert open_single_object(sealed.single_object(), NAMES.signature) == sealed
    assert open_single_object(sealed.three_objects()[2], NAMES.signature) is None


def test_one_embedded_part_alone_is_no_batch() -> None:
    sealed = seal(HEADER, PACKETS, KEY)
    objects = stored(sealed, "three objects")
    for parts in ({"batch_header": b"not the header"}, {"packets": b"not the packets"}):
        objects[NAMES.signature] = encode(replace(sealed.signature, **parts))
        assert open_single_object(objects[NAMES.signature], NAMES.signature) is None
        assert read_validation(read_from(objects), BATCH, INDEX, KEYS).sealed == sealed


def test_embedded_parts_go_before_other_objects() -> None:
    objects = {
        NAMES.header: b"not the header",
        NAMES.packets: b"",
        **stored(seal(HEADER, PACKETS, KEY), "single object"),
    }
    assert read_validation(read_from(objects), BATCH, INDEX, KEYS).header == HEADER


def test_a_validation_without_packets_is_read(form: str) -> None:
    sealed = seal(replace(HEADER, packet_file_digest=digest(b"")), b"", KEY)
    assert len(read_validation(read_from(stored(sealed, form)), BATCH, INDEX, KEYS).packets) == 0


def test_a_large_validation_is_read_in_either_form(form: str) -> None:
    """Larger than a signature object in the other form may be."""
    count = 30_000
    uuids = np.arange(4 * count, dtype=np.uint32).view(np.uint8).reshape(count, 16)
    values = np.arange(count, dtype=np.uint64)
    large = ValidityPackets(uuids, values, values, values)
    packets = encode_validity_packets(large, b"")
    assert len(packets) > SMALL_RECORD_BYTES
    sealed = seal(replace(HEADER, packet_file_digest=digest(packets)), packets, KEY)
    assert len(read_validation(read_from(stored(sealed, form)), BATCH, INDEX, KEYS).packets) == count
    assert stored_validation(sealed.single_object(), BATCH, "ours").sealed == sealed
    assert parts_of_batch(sealed.single_object(), "ours") == sealed.three_objects()


def rejected(objects: Objects, batch: BatchName = BATCH, keys: VerificationKeys = KEYS) -> BatchRejected:
    with pytest.raises(BatchRejected) as caught:
        read_validation(read_from(objects), batch, INDEX, keys)
    assert "\n" not in caught.value.details
    assert len(caught.value.details) < 1000
    assert str(BATCH.uuid) in caught.value.details
    return caught.value


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_a_missing_signature_is_a_missing_batch() -> None:
    objects = stored(seal(HEADER, PACKETS, KEY), "three objects")
    del objects[NAMES.signature]
    with pytest.raises(ObjectMissingError):
        read_validation(read_from(objects), BATCH, INDEX, KEYS)


@pytest.mark.parametrize("name", [NAMES.header, NAMES.packets])
def test_a_missing_part_beside_a_signature(name: str) -> None:
    objects = stored(seal(HEADER, PACKETS, KEY), "three objects")
    del objects[name]
    assert rejected(objects).reason is BatchReason.OBJECT_MISSING


@pytest.mark.parametrize("data", [b"", b"Obj\x01", PACKETS, encode(HEADER)])
def test_a_malformed_signature_object(data: bytes, form: str) -> None:
    objects = stored(seal(HEADER, PACKETS, KEY), form)
    assert rejected({**objects, NAMES.signature: data}).reason is BatchReason.SIGNATURE_MALFORMED
    for changed in (objects[NAMES.signature] + b"\0", objects[NAMES.signature][:-1]):
        assert rejected({**objects, NAMES.signature: changed}).reason is BatchReason.SIGNATURE_MALFORMED


def test_two_signatures_in_one_object() -> None:
    objects = stored(seal(HEADER, PACKETS, KEY), "three objects")
    signature = objects[NAMES.signature]
    block = signature[signature.index(signature[-16:]) + 16 :]
    assert rejected({**objects, NAMES.signature: signature + block}).reason is BatchReason.SIGNATURE_MALFORMED


def test_a_strangers_signature(form: str) -> None:
    error = rejected(stored(seal(HEADER, PACKETS, STRANGER), form))
    assert error.reason is BatchReason.UNKNOWN_KEY
    assert "'stranger'" in error.details
    assert KEY.identifier in error.details
    assert rejected(stored(seal(HEADER, PACKETS, KEY), form), keys={}).reason is BatchReason.UNKNOWN_KEY


def test_a_strangers_identifier_is_shown_on_one_line_of_bounded_length(form: str) -> None:
    identifier = "first\nsecond\x1b[2J" + "x" * 100_000
    objects = stored(seal(HEADER, PACKETS, SigningKey(identifier, STRANGER.private)), form)
    assert "\x1b" not in rejected(objects).details


def test_a_stranger_under_a_known_identifier(form: str) -> None:
    sealed = seal(HEADER, PACKETS, SigningKey(KEY.identifier, STRANGER.private))
    assert rejected(stored(sealed, form)).reason is BatchReason.SIGNATURE_INVALID
    sealed = seal(HEADER, PACKETS, SigningKey("older", KEY.private))
    assert rejected(stored(sealed, form)).reason is BatchReason.SIGNATURE_INVALID


def test_every_bit_of_the_header_is_signed(form: str) -> None:
    sealed = seal(HEADER, PACKETS, KEY)
    for position in range(len(sealed.header)):
        changed = replace(sealed, header=flip(sealed.header, position))
        assert rejected(stored(changed, form)).reason is BatchReason.SIGNATURE_INVALID


@pytest.mark.parametrize("signature", [b"", b"\0" * 70, KEY.sign(b"other"), STRANGER.sign(encode(HEADER))])
def test_other_signatures(signature: bytes, form: str) -> None:
    sealed = seal(HEADER, PACKETS, KEY)
    changed = replace(sealed, signature=BatchSignature(signature, KEY.identifier))
    assert rejected(stored(changed, form)).reason is BatchReason.SIGNATURE_INVALID


def test_every_bit_of_the_packets_is_bound_by_the_digest(form: str) -> None:
    sealed = seal(HEADER, PACKETS, KEY)
    for position in range(0, len(PACKETS), 7):
        changed = replace(sealed, packets=flip(PACKETS, position))
        assert rejected(stored(changed, form)).reason is BatchReason.DIGEST_DIFFERS
    for packets in (b"", PACKETS[:-1], PACKETS + b"\0"):
        assert rejected(stored(replace(sealed, packets=packets), form)).reason is BatchReason.DIGEST_DIFFERS


def sign_bytes(header: bytes, packets: bytes = PACKETS) -> SealedBatch:
    """A batch whose signature holds, whatever the bytes are."""
    return SealedBatch(header, packets, BatchSignature(KEY.sign(header), KEY.identifier))


@pytest.mark.parametrize("header", [b"", b"text", PACKETS, encode(HEADER) + b"\0", encode(HEADER)[:-1]])
def test_a_signed_malformed_header(header: bytes, form: str) -> None:
    assert rejected(stored(sign_bytes(header), form)).reason is BatchReason.HEADER_MALFORMED


@pytest.mark.parametrize("packets", [b"text", PACKETS[:-1], PACKETS + b"\0", encode(HEADER)])
def test_signed_malformed_packets(packets: bytes, form: str) -> None:
    sealed = seal(replace(HEADER, packet_file_digest=digest(packets)), packets, KEY)
    assert rejected(stored(sealed, form)).reason is BatchReason.PACKETS_MALFORMED


def test_a_signed_batch_must_not_be_moved(form: str) -> None:
    other = replace(HEADER, batch_uuid=UUID(int=5))
    assert rejected(stored(seal(other, PACKETS, KEY), form)).reason is BatchReason.BATCH_UUID_DIFFERS
    other = replace(HEADER, name="dogs-seen")
    assert rejected(stored(seal(other, PACKETS, KEY), form)).reason is BatchReason.NAME_DIFFERS


PARAMETERS = HEADER.parameters
PARAMETER_FAULTS = [
    ({"bins": 0}, BatchReason.BINS_OUT_OF_RANGE),
    ({"bins": -1}, BatchReason.BINS_OUT_OF_RANGE),
    ({"bins": 524288}, BatchReason.BINS_OUT_OF_RANGE),
    ({"bins": 2147483646}, BatchReason.BINS_OUT_OF_RANGE),
    ({"epsilon": -0.1}, BatchReason.EPSILON_OUT_OF_RANGE),
    ({"epsilon": nan}, BatchReason.EPSILON_OUT_OF_RANGE),
    ({"epsilon": inf}, BatchReason.EPSILON_OUT_OF_RANGE),
    ({"prime": 2**31 - 1}, BatchReason.PRIME_DIFFERS),
    ({"prime": 0}, BatchReason.PRIME_DIFFERS),
    ({"number_of_servers": 1}, BatchReason.NUMBER_OF_SERVERS_DIFFERS),
    ({"number_of_servers": 3}, BatchReason.NUMBER_OF_SERVERS_DIFFERS),
    ({"hamming_weight": -1}, BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE),
    ({"hamming_weight": 11}, BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE),
]


@pytest.mark.parametrize(("fault", "reason"), PARAMETER_FAULTS)
def test_parameters_that_no_batch_can_have(fault: dict[str, Any], reason: BatchReason) -> None:
    with pytest.raises(BatchRejected, match="the object states") as caught:
        check_parameters(replace(PARAMETERS, **fault), "the object")
    assert caught.value.reason is reason
    for form in FORMS:
        assert rejected(stored(seal(replace(HEADER, **fault), PACKETS, KEY), form)).reason is reason


@pytest.mark.parametrize(
    "possible",
    [
        {},
        {"bins": 1},
        {"bins": 524287},
        {"epsilon": 0.0},
        {"epsilon": 8.0},
        {"hamming_weight": 0},
        {"hamming_weight": 10},
    ],
)
def test_parameters_at_their_bounds(possible: dict[str, Any]) -> None:
    check_parameters(replace(PARAMETERS, **possible), "the object")


def test_the_first_wrong_parameter_is_named() -> None:
    wrong = Parameters(bins=0, epsilon=nan, prime=0, number_of_servers=0, hamming_weight=-1)
    with pytest.raises(BatchRejected, match="bins_out_of_range: the object states 0, it must be 1 to 524287"):
        check_parameters(wrong, "the object")


# Sum parts

INVALID = encode_invalid_packets(np.arange(32, dtype=np.uint8).reshape(2, 16), b"seed")
SUM_PART = SumPart(
    batch_uuids=(ID,),
    name="kittens-seen",
    bins=2,
    epsilon=0.11,
    prime=PRIME,
    number_of_servers=2,
    hamming_weight=None,
    sum=(5, PRIME - 1),
    aggregation_start_time=to_ms(WINDOW.start),
    aggregation_end_time=to_ms(WINDOW.end),
    packet_file_digest=digest(INVALID),
    total_individual_clients=7,
)
SUM_NAMES = sum_part_objects("us-ct-g-enpa", "kittens-seen", WINDOW, INDEX)


def stored_sum_part(header: SumPart = SUM_PART, packets: bytes = INVALID, key: SigningKey = KEY) -> Objects:
    return dict(zip(SUM_NAMES, seal(header, packets, key).three_objects(), strict=True))


def read_stored_sum_part(objects: Objects) -> tuple[SumPart, list[list[int]]]:
    part = read_sum_part(read_from(objects), "us-ct-g-enpa", "kittens-seen", WINDOW, INDEX, KEYS)
    return part.header, part.invalid_packets.tolist()


def test_a_sealed_sum_part_is_read() -> None:
    assert read_stored_sum_part(stored_sum_part()) == (SUM_PART, np.arange(32).reshape(2, 16).tolist())


def test_missing_and_empty_packets_are_none_if_the_digest_says_so() -> None:
    header = replace(SUM_PART, packet_file_digest=digest(b""))
    objects = stored_sum_part(header, b"")
    assert read_stored_sum_part(objects) == (header, [])
    del objects[SUM_NAMES.packets]
    assert read_stored_sum_part(objects) == (header, [])


def test_a_container_without_packets_is_read() -> None:
    empty = encode_invalid_packets(np.zeros((0, 16), dtype=np.uint8), b"seed")
    assert decode_invalid_packets(empty, "x").shape == (0, 16)
    header = replace(SUM_PART, packet_file_digest=digest(empty))
    assert read_stored_sum_part(stored_sum_part(header, empty)) == (header, [])


def sum_part_faults() -> dict[str, tuple[Objects, BatchReason]]:
    good = stored_sum_part()
    without_packets = {name: data for name, data in good.items() if name != SUM_NAMES.packets}
    without_header = {name: data for name, data in good.items() if name != SUM_NAMES.header}
    garbage = stored_sum_part(replace(SUM_PART, packet_file_digest=digest(b"text")), b"text")
    return {
        "packets missing": (without_packets, BatchReason.OBJECT_MISSING),
        "packets empty": ({**good, SUM_NAMES.packets: b""}, BatchReason.DIGEST_DIFFERS),
        "packets changed": ({**good, SUM_NAMES.packets: flip(INVALID, 200)}, BatchReason.DIGEST_DIFFERS),
        "packets malformed": (garbage, BatchReason.PACKETS_MALFORMED),
        "header missing": (without_header, BatchReason.OBJECT_MISSING),
        "header changed": (
            {**good, SUM_NAMES.header: flip(good[SUM_NAMES.header], 300)},
            BatchReason.SIGNATURE_INVALID,
        ),
        "signature malformed": ({**good, SUM_NAMES.signature: b""}, BatchReason.SIGNATURE_MALFORMED),
        "signed by a stranger": (stored_sum_part(key=STRANGER), BatchReason.UNKNOWN_KEY),
        "another aggregation": (stored_sum_part(replace(SUM_PART, name="dogs-seen")), BatchReason.NAME_DIFFERS),
        "another prime": (stored_sum_part(replace(SUM_PART, prime=7)), BatchReason.PRIME_DIFFERS),
        "too many bins": (stored_sum_part(replace(SUM_PART, bins=2**30)), BatchReason.BINS_OUT_OF_RANGE),
    }


@pytest.mark.parametrize("fault", sum_part_faults())
def test_a_sum_part_that_was_tampered_with(fault: str) -> None:
    objects, reason = sum_part_faults()[fault]
    with pytest.raises(BatchRejected, match="us-ct-g-enpa/kittens-seen/202010311600-202011010000") as caught:
        read_stored_sum_part(objects)
    assert caught.value.reason is reason


def test_a_sum_part_without_signature_is_not_there() -> None:
    objects = stored_sum_part()
    del objects[SUM_NAMES.signature]
    with pytest.raises(ObjectMissingError):
        read_stored_sum_part(objects)


def test_no_text_form_shows_packets() -> None:
    sealed = seal(HEADER, b"secret share", KEY)
    assert "secret" not in repr(sealed)
