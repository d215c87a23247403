"""The assets, checks and sensors of a share processor.

    external.py      what others write: ingestion batches, the peer's validations and lists
    validations.py   own_validations, a fan-out over groups of batches
    lists.py         batch_lists, with a peer that knows them
    sums.py          sum_parts

Nothing here decides anything about data: the functions of `prio_assets.processor` do, and can be run twice.
"""
