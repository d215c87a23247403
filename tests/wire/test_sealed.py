"""Signed records: a list that is larger than other signature objects may be."""

from uuid import UUID

from prio_assets.wire.keys import generate_signing_key_text, parse_signing_key
from prio_assets.wire.records import SMALL_RECORD_BYTES, BatchList, ListedBatch
from prio_assets.wire.sealed import open_record, seal_record, stored_record

KEY = parse_signing_key("key", generate_signing_key_text(lambda count: b"\x17" * count))


def test_a_large_list_is_read() -> None:
    repeated = tuple(UUID(int=number, version=4) for number in range(30_000))
    batch = ListedBatch(UUID(int=1, version=4), 0, b"0" * 32, b"1" * 32, repeated)
    answer = BatchList("instance", "aggregation", 1, 2, 8.0, 17, 2, None, 0, 9, 10, (batch,))
    data = seal_record(answer, KEY)
    assert len(data) > SMALL_RECORD_BYTES
    assert open_record(BatchList, data, {"key": KEY.public}, "list") == answer
    assert stored_record(BatchList, data, "list") == answer
