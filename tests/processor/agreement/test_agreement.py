"""Two processors keep their promises, whatever happens to them: in each scene, and where anything may happen.

The examples are the same in every run. To search longer, for example through a night:
`AGREEMENT_EXAMPLES=20000 pytest tests/processor/agreement/test_agreement.py`, which draws new ones each time.
"""

import pytest
from hypothesis import Phase

from tests.processor.agreement.machine import AgreementMachine
from tests.processor.agreement.mutants import MUTANTS
from tests.processor.agreement.scenes import Scene, search

SCENES = tuple(dict.fromkeys(mutant.scene for mutant in MUTANTS))

TestAgreement = AgreementMachine.TestCase
TestAgreement.settings = search(examples=150, steps=10, phases=(Phase.generate, Phase.shrink))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_the_promises_are_kept_in(scene: Scene) -> None:
    scene.play()
