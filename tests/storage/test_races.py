"""Two processes that create the same object at the same time: one of them did, every time."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from prio_assets.storage.access import Access
from prio_assets.storage.base import read_bytes
from prio_assets.storage.urls import open_store
from tests.clouds import Clouds
from tests.servers.processes import CHECKOUT

RACES = 40
RACERS = ("first", "second")


def run_creator(stack: ExitStack, url: str, endpoint: str, text: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.servers.creator", url, endpoint, text]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = stack.enter_context(subprocess.Popen(command, cwd=CHECKOUT, text=True, **pipes))
    stack.callback(process.kill)
    return process


@pytest.mark.parametrize("kind", ["local", "s3", "gcs"])
def test_one_of_two_processes_creates_an_object(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if kind == "local":
        url, endpoint = str(tmp_path), ""
    else:
        clouds: Clouds = request.getfixturevalue("clouds")
        url, endpoint = clouds[kind].create_bucket(), clouds[kind].endpoint
    store = open_store(url, Access(endpoint=endpoint or None))
    wins = []
    with ExitStack() as stack:
        creators = [run_creator(stack, url, endpoint, text) for text in RACERS]
        for creator in creators:
            assert creator.stdout.readline() == "[]\n"
        for race in range(RACES):
            for creator in creators:
                creator.stdin.write(f"race/{race}\n")
                creator.stdin.flush()
            won = [
                text for text, creator in zip(RACERS, creators, strict=True) if creator.stdout.readline() == "True\n"
            ]
            assert [read_bytes(store, f"race/{race}").decode()] == won
            wins += won
    assert len(list(store.list(""))) == RACES == len(wins)
