"""The asset of the simulated ingestor: batches of random clients for a window, one set more at each run."""

import dagster as dg
from pydantic import Field

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs import metadata as keys
from prio_assets.defs.failures import RETRIES, retried_if_operational
from prio_assets.defs.partitions import aggregation_and_window, partitions_of
from prio_assets.defs.tables import table
from prio_assets.errors import RefusedError
from prio_assets.ingestor.simulation import batch_times, write_simulated_batch
from prio_assets.wire.windows import format_minute
from resources import IngestorResource

SIMULATED_BATCHES = "simulated_batches"


class SimulationConfig(dg.Config):
    """How much traffic to simulate."""

    batches: int = Field(default=2, ge=1, description="How many batches to write.")
    clients: int = Field(default=100, ge=1, description="How many clients each holds, who toss a coin for each bin.")


def simulated_batches_key(ingestor: str) -> dg.AssetKey:
    """The key of the ingestor's asset."""
    return dg.AssetKey([ingestor, SIMULATED_BATCHES])


def simulated_batches_asset(ingestor: str, processor: ProcessorConfiguration) -> dg.AssetsDefinition:
    """The asset, in the partitions of `processor`, which reads what it writes and knows the parameters."""

    @dg.asset(
        key=simulated_batches_key(ingestor),
        description="Ingestion batches of simulated clients, at both processors. Each run writes more of them: a "
        "window that was summed gets late ones.",
        group_name=ingestor,
        kinds={"python", "numpy"},
        partitions_def=partitions_of(processor.schedule),
        retry_policy=RETRIES,
    )
    def simulated_batches(
        context: dg.AssetExecutionContext, config: SimulationConfig, ingestor: IngestorResource
    ) -> dg.MaterializeResult:
        with retried_if_operational():
            aggregation, window = aggregation_and_window(context.partition_key, processor.period)
            parameters = processor.expected_parameters(aggregation)
            if parameters is None:
                raise RefusedError(f"the configuration has no parameters of aggregation {aggregation}; add them")
            now = ingestor.clock.clock()
            if now < window.start:
                raise RefusedError("the window has not begun; take an earlier one")
            written = [
                write_simulated_batch(ingestor.settings, ingestor.stores, aggregation, parameters, time, config.clients)
                for time in batch_times(window, now, config.batches)
            ]
        rows = [{"batch": str(batch.uuid), "time": format_minute(batch.time)} for batch in written]
        return dg.MaterializeResult(
            metadata={
                keys.BATCHES: config.batches,
                keys.CLIENTS: config.batches * config.clients,
                keys.BINS: parameters.bins,
                keys.TABLE_OF_BATCHES: table(rows, {"batch": str, "time": str}),
            }
        )

    return simulated_batches
