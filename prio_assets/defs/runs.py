"""The instance's runs as the decision about requests needs them, and requests as Dagster wants them."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from time import monotonic, sleep

import dagster as dg

from prio_assets.clock import system_clock
from prio_assets.defs.requests import NO_ATTEMPTS, Attempts, Request, Wish, requests

WANT = "prio-assets/want"
MAX_RUNTIME = "dagster/max_runtime"
MAX_RUNTIME_SECONDS = 7200
MAX_RETRIES = "dagster/max_retries"
PARTITION = "dagster/partition"

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

LONGEST_WAIT = 2.0
"""Seconds that a tick waits for a run to end: every five seconds the daemon evaluates the sensors anew, but none whose
tick is not over."""

SECONDS_BETWEEN_LOOKS = 0.25


def wait_for_an_end(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey]) -> None:
    """While runs of any of `assets` are under way, wait until one has ended, though not for long.

    What can be done after it is then requested by this tick: a window has four runs that follow each other.
    """
    under_way = runs_under_way(instance, assets)
    deadline = monotonic() + LONGEST_WAIT
    still = under_way
    while under_way and under_way <= still and monotonic() < deadline:
        sleep(SECONDS_BETWEEN_LOOKS)
        still = runs_under_way(instance, assets)


def runs_under_way(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey]) -> frozenset[str]:
    """The runs of any of `assets` that start or are at work, whoever launched them."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
    return frozenset(run.run_id for run in runs if not (run.asset_selection or frozenset()).isdisjoint(assets))


def run_requests(instance: dg.DagsterInstance, wishes: Iterable[Wish]) -> list[dg.RunRequest]:
    """The runs to request for these wishes now; a wish's asset is its key as text, `a/b`."""
    running = active_selections(instance)

    def is_running(wish: Wish) -> bool:
        key = dg.AssetKey.from_user_string(wish.asset)
        return any(selection is None or key in selection for selection in running.get(wish.partition, ()))

    chosen = requests(wishes, is_running, lambda wish: attempts_of(instance, wish), system_clock())
    return [run_request(request) for request in chosen]


def run_request(request: Request) -> dg.RunRequest:
    """The request, with the checks of the asset that its run yields."""
    return dg.RunRequest(
        run_key=request.run_key,
        partition_key=request.wish.partition,
        asset_selection=[dg.AssetKey.from_user_string(request.wish.asset)],
        # The instance must not retry the run by itself: the sensor does, and knows whether another one is active.
        tags={WANT: request.wish.digest, MAX_RUNTIME: str(MAX_RUNTIME_SECONDS), MAX_RETRIES: "0"},
    )


def active_selections(instance: dg.DagsterInstance) -> dict[str, list[Collection[dg.AssetKey] | None]]:
    """By partition, the assets of each active run, whoever launched it; None stands for all assets."""
    found: dict[str, list[Collection[dg.AssetKey] | None]] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=ACTIVE)):
        if PARTITION in run.tags:
            found.setdefault(run.tags[PARTITION], []).append(run.asset_selection)
    return found


def attempts_of(instance: dg.DagsterInstance, wish: Wish) -> Attempts:
    """The runs that were requested for the wish so far."""
    asked = dg.RunsFilter(tags={WANT: wish.digest})
    latest = next(iter(instance.get_run_records(asked, limit=1)), None)
    if latest is None:
        return NO_ATTEMPTS
    ended = datetime.fromtimestamp(latest.end_time, UTC) if latest.end_time else latest.update_timestamp
    succeeded = latest.dagster_run.status == dg.DagsterRunStatus.SUCCESS
    return Attempts(instance.get_runs_count(asked), ended, succeeded=succeeded)
