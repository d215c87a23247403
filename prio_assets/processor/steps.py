"""Storage writes as values: the rules say which steps to take, this module takes them.

A run may be cut after any step, and two runs may interleave theirs. So a copy is made of the *stored* bytes (an earlier
version may have won), and a ledger entry whose number is taken ends the run, which starts again from storage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prio_assets.storage.base import Store, copy_bytes, copy_in_order, exists, read_bytes
from prio_assets.wire.batches import parts_of_batch
from prio_assets.wire.names import Objects
from prio_assets.wire.packets import digest
from prio_assets.wire.records import Sent, encode
from prio_assets.wire.windows import to_ms

STATE = "state"
OWN_VALIDATIONS = "own_validations"
PEER_BUCKET = "peer_bucket"
SUM_PARTS = "sum_parts"


@dataclass(frozen=True)
class Create:
    """Create an object only if its name is free; `stop_if_taken` ends the run when it isn't."""

    store: str
    name: str
    data: bytes
    stop_if_taken: bool = False


@dataclass(frozen=True)
class WritePieces:
    """Write an object that is named by its digest, unless it is there: whoever writes it writes the same bytes."""

    store: str
    name: str
    pieces: Iterable[bytes]


@dataclass(frozen=True)
class Copy:
    """Copy the stored bytes of one object to another storage, where they must be found afterwards."""

    store: str
    name: str
    target: str
    target_name: str


@dataclass(frozen=True)
class CopyParts:
    """Copy the three objects that a stored single-object batch stands for, the signature last."""

    store: str
    name: str
    target: str
    target_names: Objects


@dataclass(frozen=True)
class Acknowledge:
    """Record in the state storage that the stored object was copied: its receipt."""

    name: str
    receipt_name: str
    sent_at: datetime


Step = Create | WritePieces | Copy | CopyParts | Acknowledge


def take(step: Step, stores: Mapping[str, Store]) -> bool:
    """Take one step; False when the run must end because another run was faster."""
    match step:
        case Create(store, name, data, stop_if_taken):
            return stores[store].create(name, data) or not stop_if_taken
        case WritePieces(store, name, pieces):
            _write_pieces(stores[store], name, pieces)
        case Copy(store, name, target, target_name):
            copy_bytes(stores[target], target_name, read_bytes(stores[store], name))
        case CopyParts(store, name, target, target_names):
            parts = parts_of_batch(read_bytes(stores[store], name), name)
            copy_in_order(stores[target], target_names, parts)
        case Acknowledge(name, receipt_name, sent_at):
            stored = read_bytes(stores[STATE], name)
            stores[STATE].create(receipt_name, encode(Sent(digest(stored), to_ms(sent_at))))
    return True


def take_all(steps: Iterable[Step], stores: Mapping[str, Store]) -> bool:
    """Take the steps in order; False when a lost race ended the run before the last one."""
    return all(take(step, stores) for step in steps)


def _write_pieces(store: Store, name: str, pieces: Iterable[bytes]) -> None:
    if not exists(store, name):
        with store.write(name) as stream:
            stream.writelines(pieces)
