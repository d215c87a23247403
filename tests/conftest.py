"""What many tests need."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def interop_cases() -> Path:
    """The folder of the cases that the reference implementation processed; its README says what each has."""
    return Path(__file__).parent / "interop"
