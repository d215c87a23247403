"""Each rule is held by the machine: without it, an example is found in which a promise is broken."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.processor.agreement.machine import machine_of
from tests.processor.agreement.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_the_machine_notices_that(mutant: Mutant) -> None:
    with mutant.applied(), pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine_of(mutant),
            settings=settings(
                max_examples=150,
                stateful_step_count=4,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
