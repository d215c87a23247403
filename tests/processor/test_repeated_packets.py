"""A packet sent again in another batch is counted once, as far back as the ledger is read; beyond that it is not found.

That range is the one of late batches: a batch sent again has the old path time, so it is eligible only while the first
one is in the range. A copy under another path time is what these tests are about.
"""

import dataclasses
from uuid import UUID

import pytest

from prio_assets.errors import PacketReason
from prio_assets.ingestor.batches import seal_batch
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window
from tests.faults.deployment import Deployment, make_deployment, statistic, work
from tests.faults.material import (
    AGGREGATION,
    FAULTY,
    FAULTY_CLIENTS,
    INGESTOR_KEY,
    PERIOD,
    SOUND,
    SOUND_CLIENTS,
    WINDOW,
    description_of,
    sealed_batch,
    upload_of,
)

AGAIN = UUID("a9a10000-0000-4000-8000-000000000003")


def deployment_with_copies(windows_later: int, late_limit: str) -> tuple[Deployment, Window]:
    """SOUND summed, and its packets among new ones in a batch of a later window, whose `r_pit` is another."""
    start = WINDOW.start + windows_later * PERIOD
    later = Window(start, start + PERIOD)
    deployment = make_deployment(late_limit=late_limit)
    again = BatchName(AGGREGATION, later.start + (FAULTY.time - WINDOW.start), AGAIN)
    for index in (0, 1):
        deployment.ingest(SOUND, index, sealed_batch(SOUND, index))
        copies = [dataclasses.replace(packet, r_pit=packet.r_pit + 1) for packet in upload_of(SOUND).packets[index]]
        packets = [*upload_of(FAULTY).packets[index], *copies]
        deployment.ingest(again, index, seal_batch(description_of(again), packets, INGESTOR_KEY))
    work(deployment)
    deployment.clock.now += windows_later * PERIOD
    work(deployment)
    assert not deployment.failures
    assert statistic(deployment).clients == SOUND_CLIENTS
    return deployment, later


@pytest.mark.parametrize(("windows_later", "late_limit"), [(1, "8h"), (2, "16h"), (2, "24h")])
def test_a_copy_in_the_ledgers_range_is_counted_once(windows_later: int, late_limit: str) -> None:
    deployment, later = deployment_with_copies(windows_later, late_limit)
    assert statistic(deployment, later).clients == FAULTY_CLIENTS
    for index in (0, 1):
        assert deployment.sums[index][later].reasons == {PacketReason.REPEATED_IN_WINDOW: SOUND_CLIENTS}


@pytest.mark.parametrize(("windows_later", "late_limit"), [(1, "0h"), (2, "8h")])
def test_a_copy_under_a_path_time_outside_the_ledgers_range_is_not_found(windows_later: int, late_limit: str) -> None:
    """A known limit: its clients count in both windows, at both processors alike."""
    deployment, later = deployment_with_copies(windows_later, late_limit)
    assert statistic(deployment, later).clients == FAULTY_CLIENTS + SOUND_CLIENTS
    for index in (0, 1):
        assert not deployment.sums[index][later].reasons
