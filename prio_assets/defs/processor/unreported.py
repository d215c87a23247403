"""Windows whose batches were sent, but of which no run has told since: one may be killed, or fail, between the two.

Then nothing is pending in storage, and without a wish of its own the window would never be materialised.
"""

from collections.abc import Collection, Iterable

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.partitions import partition_key
from prio_assets.defs.processor.batch_record import reported_versions, version_of_sent
from prio_assets.defs.processor.external_report import by_window
from prio_assets.defs.processor.names import OWN_VALIDATIONS, ProcessorKeys
from prio_assets.defs.requests import Wish
from prio_assets.processor.survey import Survey


def wishes_to_report(
    instance: dg.DagsterInstance, surveys: Iterable[Survey], busy: Collection[str], settings: ProcessorConfiguration
) -> list[Wish]:
    """Wishes for the windows that no run has reported since what was sent changed.

    `busy` are partitions of which a run will tell, or may have told since the surveys were made.
    """
    key = ProcessorKeys(settings.name)[OWN_VALIDATIONS]
    sent = {
        str(partition_key(survey.aggregation, window)): version_of_sent(batches)
        for survey in surveys
        for window, batches in by_window(survey.sent, settings)
    }
    reported = reported_versions(instance, key, sent)
    return [
        Wish(key.to_user_string(), partition, f"report {version}")
        for partition, version in sent.items()
        if partition not in busy and reported.get(partition) != version
    ]
