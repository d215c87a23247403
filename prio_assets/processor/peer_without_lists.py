"""Summing with a peer that knows no batch lists, such as the reference.

Such a peer sums once, at its first run after the window's end and its grace, whatever is complete in its two buckets.
So what we send decides: a validation is sent only where the peer's is here, nothing is begun after the *stop*, a margin
before the peer sums; after the stop the set is fixed in the ledger, all of it is sent, and summed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.processor.aggregation import common_parameters
from prio_assets.processor.batch_lists import Waiting
from prio_assets.processor.ledger import Decision, Ledger
from prio_assets.processor.readiness import ReadyBatch
from prio_assets.processor.steps import Step
from prio_assets.wire.columns import count_distinct
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window


@dataclass(frozen=True)
class View:
    """What storage says about a window: batches with both validations in order of their names, and which were sent."""

    window: Window
    ledger: Ledger
    ready: Sequence[ReadyBatch]
    sent: Collection[BatchName]
    not_before: datetime


def stop_of(window: Window, settings: ProcessorConfiguration) -> datetime:
    """From here on no sending is begun for the window."""
    return window.end + settings.grace - settings.margin


def deadline_of(window: Window, settings: ProcessorConfiguration) -> datetime:
    """From here on the peer may have summed the window."""
    return window.end + settings.grace


def settle(
    view: View, settings: ProcessorConfiguration, now: datetime, minimum_clients: int, *, despite_stop: bool = False
) -> list[Step] | Waiting:
    """Fix the window's set in the ledger once its stop has passed.

    Past the deadline only what was recorded as sent can be in the peer's sum; an operator who knows better sums what is
    ready `despite_stop`.
    """
    if view.ledger.entry(view.window) is not None:
        return Waiting("nothing: the window is decided")
    if view.window.start < view.not_before and not despite_stop:
        return Waiting(f"nothing: the window began before this state ({view.not_before:%Y-%m-%d %H:%M} UTC)")
    if now < stop_of(view.window, settings):
        return Waiting(f"the stop at {stop_of(view.window, settings):%Y-%m-%d %H:%M} UTC")
    ready = view.ready
    if now >= deadline_of(view.window, settings) and not despite_stop:
        ready = [batch for batch in ready if batch.batch in view.sent]
    if not ready:
        return Waiting("a batch that both processors validated")
    batches = with_common_parameters(ready)
    counted = [batch.valid for batch in batches]
    enough = count_distinct(counted) >= minimum_clients
    decision = Decision(
        window=view.window,
        batches=tuple(batch.listed() for batch in batches) if enough else (),
        parameters=batches[0].parameters,
        minimum_clients=minimum_clients,
        counted=counted if enough else (),
        answer=None,
    )
    return view.ledger.append(decision)


def with_common_parameters(batches: Sequence[ReadyBatch]) -> list[ReadyBatch]:
    """The batches that have the parameters which most have; ties go to the parameters of the earliest batch."""
    common = common_parameters({ready.batch: ready.parameters for ready in batches})
    return sorted((ready for ready in batches if ready.parameters == common), key=lambda ready: ready.batch)
