"""What many tests need."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clouds import KINDS, Cloud, Clouds, forget_own_credentials


def pytest_configure() -> None:
    """Hear Ctrl-C, which who runs the tests in the background of a script may have told us to ignore.

    Dagster does at SIGTERM what is to be done at Ctrl-C, so that all that we start would ignore that, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
