"""Objects recognised by what they say and how they are named, wherever they lie."""

import io

import pytest

from prio_assets.errors import MalformedError
from prio_assets.wire.containers import container, stated_record
from prio_assets.wire.names import Objects, objects_beside
from prio_assets.wire.schemas import record_names


@pytest.mark.parametrize("record", record_names())
def test_a_container_states_its_record(record: str) -> None:
    assert stated_record(io.BytesIO(container(record, [], b"")), "x") == record


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Obj\x02",
        container("Sent", [], b"")[:60],
        container("Sent", [], b"").replace(b'"record"', b'"record\xff'),
        container("Sent", [], b"").replace(b'"name":"Sent"', b'"nane":"Sent"'),
    ],
    ids=["empty", "other magic", "truncated", "no JSON", "no name"],
)
def test_what_states_no_record_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^the\.file: "):
        stated_record(io.BytesIO(data), "the.file")


@pytest.mark.parametrize(
    "trio",
    [
        Objects("a/b.batch", "a/b.batch.avro", "a/b.batch.sig"),
        Objects("b.validity_1", "b.validity_1.avro", "b.validity_1.sig"),
        Objects("1-2.sum_0", "1-2.invalid_uuid_0.avro", "1-2.sum_0.sig"),
    ],
)
def test_the_objects_beside_any_of_three_are_all_three(trio: Objects) -> None:
    assert [objects_beside(name) for name in trio] == [trio] * 3


@pytest.mark.parametrize("name", ["b", "b.batch.tmp", "b.validity_2", "1-2.sum_0.avro", "1-2.batches_0"])
def test_other_names_have_nothing_beside_them(name: str) -> None:
    assert objects_beside(name) is None
