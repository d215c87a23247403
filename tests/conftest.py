"""What many tests need."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clouds import KINDS, Cloud, Clouds, forget_own_credentials


@pytest.fixture(scope="session")
def interop_cases() -> Path:
    """The folder of the cases that the reference implementation processed; its README says what each has."""
    return Path(__file__).parent / "interop"


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """Emulators of the clouds, and the environment of someone who has their credentials only."""
    directory = tmp_path_factory.mktemp("clouds")
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as stack:
        forget_own_credentials(monkeypatch, directory)
        yield Clouds(directory, stack)


@pytest.fixture(params=KINDS)
def cloud(request: pytest.FixtureRequest, clouds: Clouds) -> Cloud:
    """Each of the clouds."""
    return clouds[request.param]
