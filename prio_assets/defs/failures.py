"""Which failures of a step are worth another try within the run, and which end it at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from prio_assets.errors import ObjectConflictError, OperationalError, StateError, UndecryptableBatchError

RETRIES = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL)
"""How often a step tries again what may go away by itself: after 10, 30 and 70 seconds, as Dagster doubles 10 (each
pause adds twice what the one before did)."""

_NOT_SOON = (StateError, ObjectConflictError, UndecryptableBatchError)


@contextmanager
def retried_if_operational() -> Iterator[None]:
    """Let through what the retry policy is for; everything else ends the run, in one line."""
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        if isinstance(error, OperationalError) and not isinstance(error, _NOT_SOON):
            raise
        raise dg.Failure(description=str(error) or repr(error), allow_retries=False) from error
