"""What an operator decides about batches of one window, as run configuration of `own_validations`."""

from collections.abc import Iterable
from uuid import UUID

import dagster as dg
from pydantic import Field

from prio_assets.errors import RefusedError
from prio_assets.processor.operator_decisions import accept_undecryptable, leave_out, try_again
from prio_assets.processor.own_store import is_rejected
from prio_assets.processor.processor import KeylessProcessor
from prio_assets.wire.names import BatchName


class BatchOverrides(dg.Config):
    """Batches of this window, by their UUID."""

    leave_out: list[str] = Field(default=[], description="Leave these batches out of every set that is still open.")
    clear: list[str] = Field(default=[], description="Try these rejected batches again.")
    accept_undecryptable: list[str] = Field(
        default=[], description="Go on with these batches without the packets that no key decrypts: those are lost."
    )

    @property
    def given(self) -> dict[str, list[str]]:
        """Those that name a batch."""
        return {name: uuids for name, uuids in self.model_dump().items() if uuids}


def record_overrides(
    processor: KeylessProcessor, batches: Iterable[BatchName], overrides: BatchOverrides, run_id: str
) -> None:
    """Record the decisions; done again, as by a run that is tried again, it changes nothing.

    `batches` are those of the window; `RefusedError` for one that is not among them.
    """
    by_uuid = {batch.uuid: batch for batch in batches}
    own, by, now = processor.own, f"run {run_id}", processor.clock()
    for batch in _named(overrides.leave_out, by_uuid):
        leave_out(own, batch, by, "an operator left it out", now)
    for batch in _named(overrides.clear, by_uuid):
        if is_rejected(own.last_rejection(batch)):
            try_again(own, batch, by, "an operator has it tried again", now)
    for batch in _named(overrides.accept_undecryptable, by_uuid):
        accept_undecryptable(own, batch, by, "an operator accepts that packets are lost", now)


def _named(uuids: Iterable[str], by_uuid: dict[UUID, BatchName]) -> list[BatchName]:
    found = []
    for text in uuids:
        try:
            found.append(by_uuid[UUID(text)])
        except (ValueError, KeyError):
            raise RefusedError(f"{text} is no batch of this window in the ingestion bucket; name one") from None
    return found
