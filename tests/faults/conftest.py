"""Deployments that stand at a given step, made once; each test spoils a copy."""

import pytest

from prio_assets.processor.pending import PendingStep
from tests.faults.deployment import Deployment, make_deployment, with_batches, work


@pytest.fixture(scope="session")
def validated_deployment() -> Deployment:
    """Both processors have validated both batches; nothing is proposed."""
    deployment = with_batches(make_deployment())
    work(deployment, until=PendingStep.PROPOSE)
    return deployment
