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


@pytest.fixture(scope="session")
def proposed_deployment(validated_deployment: Deployment) -> Deployment:
    """The first processor has proposed both batches."""
    deployment = validated_deployment.copy()
    work(deployment, until=PendingStep.DECIDE)
    return deployment


@pytest.fixture(scope="session")
def decided_deployment(proposed_deployment: Deployment) -> Deployment:
    """The second processor has answered with both batches; neither has summed."""
    deployment = proposed_deployment.copy()
    work(deployment, until=PendingStep.SUM)
    return deployment


@pytest.fixture(scope="session")
def summed_deployment(decided_deployment: Deployment) -> Deployment:
    """The portal has both parts."""
    deployment = decided_deployment.copy()
    work(deployment)
    return deployment
