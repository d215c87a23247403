"""Every error that this package raises on purpose, and the closed enumerations of rejection reasons.

The text of an error is one line that names what is wrong (file, batch, packet, key or setting) and the remedy. It never
holds a private key or a share. Two kinds are told apart by type: an `OperationalError` may go away by itself or by an
operator's hand and is tried again; a `BatchRejected` is permanent for the object that it names.
"""

from enum import IntEnum, StrEnum
from typing import Final

QUOTED_CHARACTERS: Final = 100


class PrioAssetsError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(PrioAssetsError):
    """A setting, an option or the configuration file is wrong."""


class InvalidKeyError(ConfigurationError):
    """Key material that is not of an accepted form."""


class MalformedError(PrioAssetsError):
    """Bytes that are not the record, container or name that they should be."""


class RefusedError(PrioAssetsError):
    """Something that must not be done, such as adding two sum parts that do not belong together."""


class OperationalError(PrioAssetsError):
    """A failure that is not the input's fault: it is tried again."""


class StorageError(OperationalError):
    """A storage that could not be read or written."""


class ObjectMissingError(StorageError):
    """An object that should be there is not."""


class AccessDeniedError(StorageError):
    """A storage that refuses what we ask for with the credentials that we have."""


class ObjectConflictError(OperationalError):
    """An object that is created only once exists with other bytes than ours."""


class UndecryptableBatchError(OperationalError):
    """So many packets of a batch fail to decrypt that a missing packet key is the likely cause."""


class StateError(OperationalError):
    """The state storage is missing, belongs to another processor, or has a gap."""


class BatchReason(StrEnum):
    """Why a whole batch (ingestion batch, validation, batch list or sum part) is not used."""

    OBJECT_MISSING = "object_missing"
    OBJECT_TOO_LARGE = "object_too_large"
    SIGNATURE_MALFORMED = "signature_malformed"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE_INVALID = "signature_invalid"
    HEADER_MALFORMED = "header_malformed"
    BATCH_UUID_DIFFERS = "batch_uuid_differs"
    NAME_DIFFERS = "name_differs"
    BINS_OUT_OF_RANGE = "bins_out_of_range"
    EPSILON_OUT_OF_RANGE = "epsilon_out_of_range"
    PRIME_DIFFERS = "prime_differs"
    NUMBER_OF_SERVERS_DIFFERS = "number_of_servers_differs"
    HAMMING_WEIGHT_OUT_OF_RANGE = "hamming_weight_out_of_range"
    PARAMETERS_DIFFER = "parameters_differ"
    DIGEST_DIFFERS = "digest_differs"
    PACKETS_MALFORMED = "packets_malformed"
    NO_PACKETS = "no_packets"
    NO_ACCEPTED_PACKETS = "no_accepted_packets"
    BATCH_REPEATED = "batch_repeated"
    OWN_RECORD_DAMAGED = "own_record_damaged"
    OUTSIDE_WINDOW = "outside_window"
    LEFT_OUT = "left_out"


class PacketReason(IntEnum):
    """Why one packet is not counted. The value is the packet's status in a column; 0 is a good packet."""

    ACCEPTED = 0
    UUID_MALFORMED = 1
    UUID_DUPLICATED = 2
    R_PIT_OUT_OF_RANGE = 3
    R_PIT_ROOT_OF_UNITY = 4
    PAYLOAD_TOO_SHORT = 5
    EPHEMERAL_KEY_INVALID = 6
    UNDECRYPTABLE = 7
    SHARE_LENGTH_DIFFERS = 8
    SHARE_OUT_OF_RANGE = 9
    REPEATED_IN_WINDOW = 10
    MISSING_AT_PEER = 11
    MISSING_HERE = 12
    PROOF_INVALID = 13

    @property
    def label(self) -> str:
        """The reason's name in reports, e.g. `r_pit_out_of_range`."""
        return self.name.lower()


class BatchRejected(PrioAssetsError):  # noqa: N818 (a verdict on the batch, not a fault of the program)
    """A batch that is not used, for good: `reason` is the class, `details` says which object and what is wrong.

    `packet_file_digest` is the SHA-256 of the packet file that the verdict is about; None unless its header was read.
    """

    def __init__(self, reason: BatchReason, details: str) -> None:
        super().__init__(f"{reason.value}: {details}")
        self.reason = reason
        self.details = details
        self.packet_file_digest: bytes | None = None


def quoted(text: str) -> str:
    """A stranger's text within a message: one line of bounded length."""
    return repr(text if len(text) <= QUOTED_CHARACTERS else text[:QUOTED_CHARACTERS] + "…")
