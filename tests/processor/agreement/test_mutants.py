"""Each rule is held by the machine: without it, its scene has an example in which a promise is broken."""

import pytest

from tests.processor.agreement.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_the_machine_notices_that(mutant: Mutant) -> None:
    with mutant.applied(), pytest.raises(AssertionError):
        mutant.scene.play()
