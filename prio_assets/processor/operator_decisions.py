"""What an operator decides about one batch: leave it out, try it again, accept that some of its packets are lost.

Each decision is a record in our own store that says who decided, why and when; the last record of a batch counts.
"""

from collections.abc import Iterator
from datetime import datetime

from prio_assets.errors import BatchReason, RefusedError
from prio_assets.processor.ledger import read_ledger
from prio_assets.processor.own_store import UNDECRYPTABLE_ACCEPTED, OwnStore, is_rejected
from prio_assets.processor.processor import KeylessProcessor
from prio_assets.wire import names
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import LedgerEntry, Rejection


def leave_out(own: OwnStore, batch: BatchName, by: str, details: str, now: datetime) -> None:
    """Have the batch left out of everything that is not decided yet."""
    own.record_verdict(batch, BatchReason.LEFT_OUT.value, details, by, now, cleared=False)


def try_again(own: OwnStore, batch: BatchName, by: str, details: str, now: datetime) -> None:
    """Undo the batch's last rejection; `RefusedError` where it is not rejected."""
    last = own.last_rejection(batch)
    if not is_rejected(last):
        raise RefusedError(f"{batch.base} is not rejected: there is nothing to clear")
    own.record_verdict(batch, last.reason, details, by, now, cleared=True, packet_file_digest=last.packet_file_digest)


def accept_undecryptable(own: OwnStore, batch: BatchName, by: str, details: str, now: datetime) -> None:
    """Have intake take what decrypts of the batch, whatever share that is; undoes a rejection too."""
    own.record_verdict(batch, UNDECRYPTABLE_ACCEPTED, details, by, now, cleared=True)


def decided_entry(processor: KeylessProcessor, batch: BatchName) -> LedgerEntry | None:
    """The ledger entry whose set holds the batch: no decision of an operator changes that any more."""
    ledger = read_ledger(processor.stores.state, batch.aggregation, batch.time, with_counted=False)
    for entry in ledger.entries:
        if any(listed.batch_uuid == batch.uuid for listed in entry.batches):
            return entry
    return None


def outstanding_rejections(own: OwnStore, aggregation: str | None) -> Iterator[tuple[BatchName, Rejection]]:
    """The batches that are left out now, of one aggregation or of all, in the order of their names."""
    prefix = names.REJECTIONS if aggregation is None else f"{names.REJECTIONS}{aggregation}/"
    for batch, last in own.last_rejections(prefix):
        if is_rejected(last):
            yield batch, last


def check_ingested(processor: KeylessProcessor, batch: BatchName) -> None:
    """The ingestion bucket has something of the batch; `RefusedError` for a name that is mistyped."""
    beginning = f"{batch.base}."
    if next(processor.stores.ingestion.list(beginning), None) is None:
        raise RefusedError(f"{batch.base} is not in the ingestion bucket of processor {processor.settings.name}")
