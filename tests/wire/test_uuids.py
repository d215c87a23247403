"""UUID texts against Python's `uuid`, and the forms that are not taken."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prio_assets.errors import MalformedError
from prio_assets.wire.uuids import parse_uuid, parse_uuid_texts, uuid_characters, uuid_columns, uuid_values

TEXT = "b8a5579a-f984-460a-a42d-2813cbf57771"
MALFORMED = [
    "",
    "not-a-uuid",
    f"{{{TEXT}}}",
    TEXT[:-1],
    TEXT + "0",
    TEXT[:-1] + "g",
    TEXT[:-1] + "\u0661",  # a digit to `int`, not to us
    TEXT.replace("-", "_"),
    "b8a5579-af984-460a-a42d-2813cbf57771",
    "b8a5579a-f984-460a-a42d2813cbf5777-1",
    "-" * 36,
    " " + TEXT,
    TEXT + "\n",
    TEXT.replace("-", "") + "\n",
    f"URN:UUID:{TEXT}",
    "urn:uuid:" + TEXT.replace("-", ""),
    TEXT.replace("-", "")[:-2] + "_0",
]


def forms(uuid: UUID) -> st.SearchStrategy[str]:
    text = str(uuid)
    return st.sampled_from(
        [text, text.upper(), uuid.hex, uuid.hex.upper(), f"urn:uuid:{text}", f"urn:uuid:{text.upper()}"]
    )


texts_of_uuids = st.lists(st.uuids().flatmap(lambda uuid: st.tuples(st.just(uuid), forms(uuid))), max_size=6)


@given(texts_of_uuids)
def test_all_accepted_forms_are_read(pairs: list[tuple[UUID, str]]) -> None:
    uuids, well_formed = parse_uuid_texts([text for _, text in pairs])
    assert well_formed.all()
    assert [UUID(bytes=row.tobytes()) for row in uuids] == [uuid for uuid, _ in pairs]
    assert [parse_uuid(text) for _, text in pairs] == [uuid for uuid, _ in pairs]


@pytest.mark.parametrize("text", MALFORMED)
def test_other_texts_are_malformed(text: str) -> None:
    with pytest.raises(MalformedError, match="is not a UUID"):
        parse_uuid(text)


def test_a_malformed_text_costs_its_own_row_only() -> None:
    texts = [text for malformed in MALFORMED for text in (TEXT, malformed)]
    uuids, well_formed = parse_uuid_texts(texts)
    assert well_formed.tolist() == [True, False] * len(MALFORMED)
    assert uuids[0::2].tobytes() == UUID(TEXT).bytes * len(MALFORMED)
    assert not uuids[1::2].any()


@given(st.lists(st.one_of(st.text(max_size=50), st.text("0123456789abcdefABCDEF-", min_size=36, max_size=36))))
@example([])
def test_columns_agree_with_the_single_text(texts: list[str]) -> None:
    uuids, well_formed = parse_uuid_texts(texts)
    for text, row, right in zip(texts, uuids, well_formed, strict=True):
        if right:
            assert parse_uuid(text).bytes == row.tobytes()
        else:
            with pytest.raises(MalformedError):
                parse_uuid(text)


@given(st.lists(st.uuids(), max_size=6))
def test_columns_give_the_texts_that_uuid_gives(uuids: list[UUID]) -> None:
    columns = uuid_columns(uuids)
    assert (columns.shape, columns.dtype) == ((len(uuids), 16), np.uint8)
    assert [row.tobytes().decode() for row in uuid_characters(columns)] == [str(uuid) for uuid in uuids]
    assert uuid_values(columns) == uuids
