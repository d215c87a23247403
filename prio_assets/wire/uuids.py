"""UUIDs as texts on the wire and as columns of 16 bytes here.

A packet's UUID is text of a client's own making. Four forms are taken, and compared by value; they are those that the
reference reads. `uuid.UUID` takes more (braces, misplaced hyphens), which would tell two processors apart.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import MalformedError

UUID_BYTES: Final = 16
HYPHENATED_LENGTH: Final = 36
HYPHENS: Final = (8, 13, 18, 23)
LONGEST_TEXT: Final = len("urn:uuid:") + HYPHENATED_LENGTH

_FORMS: Final = re.compile(
    r"(?:urn:uuid:)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"
)
_DIGIT_PLACES: Final = np.array([place for place in range(HYPHENATED_LENGTH) if place not in HYPHENS])
NO_DIGIT: Final = 255
DIGIT_VALUES: Final = np.full(256, NO_DIGIT, dtype=np.uint8)
DIGIT_VALUES[list(b"0123456789")] = range(10)
DIGIT_VALUES[list(b"abcdef")] = range(10, 16)
DIGIT_VALUES[list(b"ABCDEF")] = range(10, 16)
DIGITS: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def parse_uuid(text: str) -> UUID:
    """The UUID that `text` states: hyphenated, 32 bare digits, or `urn:uuid:` and hyphenated; digits of either case.

    Raises MalformedError for every other text.
    """
    if not _FORMS.fullmatch(text):
        raise MalformedError(f"{text[:60]!r} is not a UUID")
    return UUID(text)


def parse_uuid_texts(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Columns (uuids uint8[n, 16], well_formed bool[n]); zeros where the text is no UUID."""
    uuids = np.zeros((len(texts), UUID_BYTES), dtype=np.uint8)
    well_formed = np.zeros(len(texts), dtype=np.bool_)
    common = np.array([len(text) == HYPHENATED_LENGTH and text.isascii() for text in texts], dtype=np.bool_)
    parsed, right = _parse_hyphenated("".join(text for text, is_common in zip(texts, common, strict=True) if is_common))
    uuids[common], well_formed[common] = parsed, right
    for place in np.flatnonzero(~common).tolist():
        if _FORMS.fullmatch(texts[place]):
            uuids[place] = np.frombuffer(parse_uuid(texts[place]).bytes, dtype=np.uint8)
            well_formed[place] = True
    return uuids, well_formed


def uuid_characters(uuids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The hyphenated lower-case texts as ASCII, uint8[n, 36]."""
    characters = np.full((len(uuids), HYPHENATED_LENGTH), ord("-"), dtype=np.uint8)
    characters[:, _DIGIT_PLACES[0::2]] = DIGITS[uuids >> 4]
    characters[:, _DIGIT_PLACES[1::2]] = DIGITS[uuids & 0x0F]
    return characters


def uuid_columns(uuids: Iterable[UUID]) -> NDArray[np.uint8]:
    """UUIDs as uint8[n, 16]."""
    return np.frombuffer(bytearray().join(uuid.bytes for uuid in uuids), dtype=np.uint8).reshape(-1, UUID_BYTES)


def uuid_values(uuids: NDArray[np.uint8]) -> list[UUID]:
    """The UUIDs of a column, uint8[n, 16]."""
    return [UUID(bytes=row.tobytes()) for row in uuids]


def _parse_hyphenated(joined: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Columns as of `parse_uuid_texts`, of ASCII texts of 36 characters joined."""
    characters = np.frombuffer(joined.encode("ascii"), dtype=np.uint8).reshape(-1, HYPHENATED_LENGTH)
    digits = DIGIT_VALUES[characters[:, _DIGIT_PLACES]]
    hyphens_in_place = (characters[:, HYPHENS] == ord("-")).all(axis=1)
    well_formed = hyphens_in_place & (digits != NO_DIGIT).all(axis=1)
    uuids: NDArray[np.uint8] = (digits[:, 0::2] << np.uint8(4)) | (digits[:, 1::2] & np.uint8(0x0F))
    uuids[~well_formed] = 0
    return uuids, well_formed
