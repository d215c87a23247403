"""The demo's storages in clouds: what its file says of them, what is there again later, whose credentials are used."""

import os
from pathlib import Path

import pytest
import yaml

from prio_assets.demo.clouds import credentials_of_nobody, new_storages, run_again
from prio_assets.demo.parties import make_place, set_up
from prio_assets.demo.scenario import make_plan
from prio_assets.demo.storages import CLOUDS, REGION, Choice, Cloud, Storages
from prio_assets.processor.processor import load_processor, not_before
from prio_assets.storage.base import read_bytes
from prio_assets.storage.urls import Bucket
from tests.demo.by_hand import NOW

PLAN = make_plan(NOW, 1)


def test_what_the_buckets_held_is_there_again(tmp_path: Path) -> None:
    """The PHA's buckets are in S3, the facilitator's in Google Cloud Storage."""
    place = make_place(tmp_path)
    with new_storages(Choice.BOTH, place.buckets) as storages:
        configuration = set_up(place, PLAN, storages)
        for number, processor in enumerate(configuration.processors.values()):
            assert processor.stores.peer_bucket.create("a/b", b"%d" % number)
    for _ in range(2):
        with run_again(configuration, place.buckets):
            for number, processor in enumerate(configuration.processors.values()):
                assert not_before(load_processor(processor)) == PLAN.windows[0].start
                assert read_bytes(processor.stores.peer_bucket, "a/b") == b"%d" % number
                assert not processor.stores.peer_bucket.create("a/b", b"again")
                assert list(processor.stores.ingestion.list("")) == []


def test_an_interrupted_keeping_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place(tmp_path)
    with new_storages(Choice.S3, place.buckets) as storages:
        configuration = set_up(place, PLAN, storages)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), run_again(configuration, place.buckets):
        monkeypatch.setattr("prio_assets.demo.kept_buckets.copyfileobj", interrupt)
    monkeypatch.undo()
    with run_again(configuration, place.buckets):
        assert not_before(load_processor(configuration.processors["pha"])) == PLAN.windows[0].start


@pytest.mark.parametrize("choice", [choice for choice in Choice if choice is not Choice.DIRECTORY])
def test_configuration_file(choice: Choice, tmp_path: Path) -> None:
    """Each bucket once by its URL, each server's address once by itself, and no bucket that two parties share."""
    place = make_place(tmp_path)
    endpoints = {cloud: f"http://127.0.0.1:{number}" for number, cloud in enumerate(Cloud, 9000)}
    used = {cloud: endpoints[cloud] for cloud in dict.fromkeys(CLOUDS[choice].values())}

    class NotMade(Storages):
        def make(self, directory: Path) -> None:
            """There is no server."""

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("prio_assets.demo.parties.initialise_state", lambda *_: True)
        configuration = set_up(place, PLAN, NotMade(CLOUDS[choice], used))
    text = place.configuration.read_text()
    assert [text.count(endpoint) for endpoint in endpoints.values()] == [cloud in used for cloud in endpoints]
    places = {where: storage.place for where, storage in configuration.storages()}
    assert all(isinstance(each, Bucket) and each.endpoint in used.values() for each in places.values())
    own = [
        where for where in places if where.rpartition(".")[2] in ("ingestion", "own_validations", "state", "sum_parts")
    ]
    assert len({places[where].name for where in own}) == len(own) == 8
    pha = places["processors.pha.state"]
    assert pha.region == (REGION if CLOUDS[choice]["pha"] is Cloud.S3 else None)
    assert yaml.safe_load(text)["processors"]["pha"]["state"]["endpoint"] == used[CLOUDS[choice]["pha"]]


def test_nothing_of_the_users_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "token", "AWS_ENDPOINT_URL_S3": "http://nowhere"}
    users |= {"GOOGLE_APPLICATION_CREDENTIALS": "key.json", "STORAGE_EMULATOR_HOST": "nowhere", "HOME": str(tmp_path)}
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with credentials_of_nobody(tmp_path):
        assert os.environ["AWS_ACCESS_KEY_ID"] == "testing"
        assert os.environ["HOME"] == str(tmp_path)
        assert not (users.keys() - {"HOME"}) & os.environ.keys()
        assert not Path(os.environ["AWS_CONFIG_FILE"]).exists()
    assert os.environ == before
