"""Two processors keep their promises, whatever happens to them.

The examples are the same in every run. To search longer, for example through a night:
`AGREEMENT_EXAMPLES=20000 pytest tests/processor/agreement/test_agreement.py -n 0`, which draws new ones each time.
"""

import os

from hypothesis import HealthCheck, settings

from tests.processor.agreement.machine import AgreementMachine

EXAMPLES = int(os.environ.get("AGREEMENT_EXAMPLES", "0"))

TestAgreement = AgreementMachine.TestCase
TestAgreement.settings = settings(
    max_examples=EXAMPLES or 100,
    stateful_step_count=10,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
