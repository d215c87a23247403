"""The assets, checks and sensors of a share processor.

    external.py      what others write: ingestion batches, the peer's validations and lists
    validations.py   own_validations, a fan-out over groups of batches; overrides.py its run configuration
    lists.py         batch_lists, with a peer that knows them
    sums.py          sum_parts
    sensors.py       discovery, which reports, and runs, which requests
    look.py          what the sensors see; wishes.py, quiet.py and findings.py what follows from it, without Dagster
    checks.py        the unpartitioned checks; those of a partition are yielded by the runs (validation_report.py, …)

Nothing here decides anything about data: the functions of `prio_assets.processor` do, and can be run twice.
"""
