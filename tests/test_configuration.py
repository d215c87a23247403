"""The configuration file: what a good one gives, and what is said about each bad one."""

import json
import os
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from prio_assets.configuration import Configuration, Instance, current_configuration, load_configuration
from prio_assets.errors import ConfigurationError, InvalidKeyError, StorageError
from prio_assets.prio.field import PRIME
from prio_assets.settings import SecretReference, SigningKeyReference, format_duration, parse_duration
from prio_assets.storage.access import Access
from prio_assets.storage.urls import Bucket, Clients, Directory
from prio_assets.wire.records import Parameters

REMOVED = object()


@pytest.fixture(scope="session")
def keys(interop_cases: Path) -> dict[str, Any]:
    return json.loads((interop_cases / "plain-8" / "keys.json").read_text())


@pytest.fixture
def processor(keys: dict[str, Any]) -> dict[str, Any]:
    return {
        "role": "pha",
        "instance": "us-ct-apple",
        "ingestion": "pha/ingestion",
        "own_validations": "pha/own",
        "peer_validations": "pha/peer",
        "peer_bucket": "facilitator/peer",
        "state": "pha/state",
        "sum_parts": "portal/pha",
        "period": "8h",
        "grace": "1h",
        "first_window": "2026-01-01T08:00Z",
        "late_limit": "2d",
        "minimum_clients": 100,
        "peer_has_lists": True,
        "aggregations": {"kittens-seen": {"bins": 2, "epsilon": 12, "hamming_weight": 1, "labels": ["yes", "no"]}},
        "signing_key": {"identifier": keys["pha"]["id"], "secret": {"env": "PHA_SIGNING_KEY"}},
        "packet_decryption_keys": [{"file": "secrets/packet-key"}, {"env": "OLD_PACKET_KEY"}],
        "ingestor_keys": {keys["ingestor"]["id"]: keys["ingestor"]["public_pem"]},
        "peer_keys": {keys["facilitator"]["id"]: keys["facilitator"]["public_x962_b64"]},
    }


@pytest.fixture
def content(processor: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """A file with every kind of party: both roles of one instance, its portal, an ingestor."""
    facilitator = deepcopy(processor) | {
        "role": "facilitator",
        "own_validations": "facilitator/own",
        "state": "facilitator/state",
    }
    return {
        "processors": {"pha": processor, "facilitator": facilitator},
        "portal": {
            "instance": "us-ct-apple",
            "period": "8h",
            "first_window": "2026-01-01T08:00Z",
            "grace": "2h",
            "pha_sum_parts": "portal/pha",
            "facilitator_sum_parts": "portal/facilitator",
            "statistics": "portal/statistics",
            "pha_keys": {keys["pha"]["id"]: keys["pha"]["public_pem"]},
            "facilitator_keys": {keys["facilitator"]["id"]: keys["facilitator"]["public_pem"]},
            "labels": {"kittens-seen": ["yes", "no"]},
        },
        "ingestor": {
            "pha_ingestion": "pha/ingestion",
            "facilitator_ingestion": "facilitator/ingestion",
            "signing_key": {"identifier": keys["ingestor"]["id"], "secret": {"env": "INGESTOR_SIGNING_KEY"}},
            "pha_packet_key": keys["packet_decryption"]["pha"][0],
            "facilitator_packet_key": keys["packet_decryption"]["facilitator"][0],
        },
    }


def load_text(directory: Path, text: str) -> Configuration:
    path = directory / "prio.yaml"
    path.write_text(text)
    return load_configuration(path)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[dict[str, Any]], Configuration]:
    return lambda content: load_text(tmp_path, yaml.safe_dump(content, sort_keys=False))


def put(content: dict[str, Any], path: str, value: object) -> None:
    *sections, key = path.split(".")
    for section in sections:
        content = content[section]
    if value is REMOVED:
        del content[key]
    else:
        content[key] = value


def test_good_file(load: Any, content: dict[str, Any], tmp_path: Path) -> None:
    configuration = load(content)
    pha, facilitator = configuration.processors["pha"], configuration.processors["facilitator"]
    assert (pha.name, pha.role, pha.server_index, pha.peer_index) == ("pha", "pha", 0, 1)
    assert (facilitator.name, facilitator.server_index, facilitator.peer_index) == ("facilitator", 1, 0)
    assert (pha.period, pha.late_limit) == (timedelta(hours=8), timedelta(days=2))
    assert pha.first_window == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert str(pha.ingestion) == str(tmp_path / "pha" / "ingestion")
    assert configuration.instances == (Instance("us-ct-apple", timedelta(hours=8), pha.first_window),)
    assert configuration.portal is not None
    assert configuration.portal.labels == {"kittens-seen": ("yes", "no")}


def test_defaults(load: Any, content: dict[str, Any]) -> None:
    pha = load(content).processors["pha"]
    assert pha.patience == pha.grace == timedelta(hours=1)
    assert pha.intake_max_age == timedelta(days=7)
    assert (pha.undecryptable_limit, pha.rejected_packets_limit) == (0.1, 0.05)
    assert pha.single_object_validations is True


@pytest.mark.parametrize("bucket", ["s3://eu-west-1/bucket", "gs://bucket"])
@pytest.mark.parametrize("path", ["processors.pha.peer_bucket", "portal.statistics"])
def test_buckets_are_looked_at_less_often(load: Any, content: dict[str, Any], path: str, bucket: str) -> None:
    """There each request is charged for; a party that has directories alone is not held back by another one."""

    def intervals() -> dict[str, int]:
        found = load(content)
        parties = {**found.processors, "portal": found.portal}
        return {name: party.look_interval.seconds for name, party in parties.items()}

    assert intervals() == {"pha": 1, "facilitator": 1, "portal": 1}
    put(content, path, bucket)
    party = "portal" if path.startswith("portal") else "pha"
    assert intervals() == {"pha": 1, "facilitator": 1, "portal": 1} | {party: 30}
    put(content, f"{path.rpartition('.')[0]}.look_every", "5s")
    assert intervals() == {"pha": 1, "facilitator": 1, "portal": 1} | {party: 5}


def test_expected_parameters(load: Any, content: dict[str, Any]) -> None:
    pha = load(content).processors["pha"]
    assert pha.expected_parameters("kittens-seen") == Parameters(2, 12, PRIME, 2, 1)
    assert pha.expected_parameters("puppies-seen") is None


def test_empty_sections_are_no_parties(load: Any) -> None:
    assert load({"processors": {}}).instances == ()


def test_nothing_but_the_file_is_read(load: Any, content: dict[str, Any], tmp_path: Path) -> None:
    load(content)
    assert [path.name for path in tmp_path.iterdir()] == ["prio.yaml"]


def test_peer_without_lists(load: Any, content: dict[str, Any]) -> None:
    settings = {"peer_has_lists": False, "aggregations": {"kittens-seen": {"labels": ["yes"]}}}
    content["processors"]["pha"].update(settings)
    del content["processors"]["pha"]["late_limit"]
    pha = load(content).processors["pha"]
    assert (pha.margin, pha.late_limit) == (timedelta(minutes=15), timedelta(0))
    assert pha.single_object_validations is False
    assert pha.expected_parameters("kittens-seen") is None


def test_patience_counts_where_windows_are_proposed_alone(load: Any, content: dict[str, Any]) -> None:
    put(content, "processors.facilitator.patience", "6d")
    assert load(content).processors["facilitator"].patience == timedelta(days=6)


def test_the_parties_of_a_portal_have_keys_of_their_own(load: Any, content: dict[str, Any]) -> None:
    """Otherwise a copy of one sum part would pass for the other."""
    content["portal"]["facilitator_keys"] = {"another-name": next(iter(content["portal"]["pha_keys"].values()))}
    with pytest.raises(ConfigurationError, match=r"portal\.facilitator_keys: has a key of pha_keys; give each"):
        load(content)


def test_urls_and_absolute_paths_stay(load: Any, content: dict[str, Any], tmp_path: Path) -> None:
    content["processors"]["pha"].update(ingestion="s3://eu-west-1/bucket/prefix", sum_parts="/srv/sums", state="../s")
    pha = load(content).processors["pha"]
    assert str(pha.ingestion) == "s3://eu-west-1/bucket/prefix"
    assert (str(pha.sum_parts), str(pha.state)) == ("/srv/sums", str(tmp_path.parent / "s"))


def test_a_file_url_is_a_directory(load: Any, content: dict[str, Any], tmp_path: Path) -> None:
    content["processors"]["pha"]["sum_parts"] = (tmp_path / "sums").as_uri()
    assert load(content).processors["pha"].sum_parts.place == Directory(tmp_path / "sums")


def test_a_storage_tells_how_it_is_reached(load: Any, content: dict[str, Any]) -> None:
    content["processors"]["pha"].update(
        ingestion={
            "url": "s3://auto/bucket/prefix",
            "endpoint": "http://store.internal:9000/",
            "assume_role": "arn:aws:iam::123456789012:role/path/reader",
            "external_id": "ours/1",
            "profile": "prio",
            "attempts": 20,
            "connect_timeout": "3s",
            "read_timeout": "2m",
        },
        sum_parts={"url": "gs://bucket", "impersonate": "writer@project-1.iam.gserviceaccount.com"},
        own_validations={"url": "own"},
    )
    pha = load(content).processors["pha"]
    role = "arn:aws:iam::123456789012:role/path/reader"
    assert pha.ingestion.access == Access(
        endpoint="http://store.internal:9000",
        assume_role=role,
        external_id="ours/1",
        profile="prio",
        attempts=20,
        connect_timeout=3,
        read_timeout=120,
    )
    assert pha.ingestion.place == Bucket("auto", "bucket", "prefix/", "http://store.internal:9000")
    assert pha.sum_parts.access == Access(impersonate="writer@project-1.iam.gserviceaccount.com")
    content["processors"]["pha"]["own_validations"] = "own"
    assert pha.own_validations == load(content).processors["pha"].own_validations
    assert pha.own_validations.access == pha.state.access == Access()


def test_stores_are_opened_with_the_clients_at_hand(load: Any, content: dict[str, Any]) -> None:
    content["processors"]["pha"]["ingestion"] = {"url": "s3://eu-west-1/ingestion", "attempts": 2}
    content["processors"]["pha"]["peer_bucket"] = "gs://peer"
    content["portal"]["statistics"] = {"url": "s3://eu-west-1/statistics", "profile": "portal"}
    asked: list[tuple[object, ...]] = []

    def refuse(*given: object) -> Any:
        asked.append(given)
        raise StorageError("there is no client")

    clients = Clients(refuse, refuse)
    configuration = load(content)
    processor_stores = configuration.processors["pha"].open_stores(clients)
    portal_stores = configuration.portal.open_stores(clients)
    assert asked == []
    for store in (processor_stores.ingestion, processor_stores.peer_bucket, portal_stores.statistics):
        with pytest.raises(StorageError, match="there is no client"):
            next(store.list(""))
    assert asked == [("eu-west-1", Access(attempts=2)), (Access(),), ("eu-west-1", Access(profile="portal"))]


def test_stores_are_those_of_the_file(load: Any, content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "pha" / "state").mkdir(parents=True)
    (tmp_path / "portal" / "statistics").mkdir(parents=True)
    configuration = load(content)
    assert configuration.processors["pha"].stores.state.create("state", b"x")
    assert configuration.portal.stores.statistics.create("table", b"x")
    assert (tmp_path / "pha" / "state" / "state").exists()
    assert (tmp_path / "portal" / "statistics" / "table").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T16:00", datetime(2026, 1, 1, 16, tzinfo=UTC)),
        ("2026-01-01T16:00:00Z", datetime(2026, 1, 1, 16, tzinfo=UTC)),
        ("2026-01-02T01:00:00+01:00", datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_times_are_utc(tmp_path: Path, content: dict[str, Any], text: str, expected: datetime) -> None:
    del content["processors"]["facilitator"], content["portal"]
    content["processors"]["pha"]["first_window"] = "FIRST"
    configuration = load_text(tmp_path, yaml.safe_dump(content).replace("FIRST", text))
    assert configuration.processors["pha"].first_window == expected


@pytest.mark.parametrize(("text", "seconds"), [("8h", 28800), ("30m", 1800), ("90s", 90), ("7d", 604800), (0, 0)])
def test_durations(text: object, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["8h", "30m", "90s", "7d", "0d", "25h"])
def test_durations_are_said_as_they_are_written(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


APART = "the same storage as processors.{}, or one is within the other; give each its own"

BAD_SETTINGS = [
    ("processors.pha.peroid", "8h", "processors.pha.peroid: unknown key; did you mean period?"),
    ("processors.pha.colour", 1, "processors.pha.colour: unknown key; remove it, or use instance, period, "),
    ("portal.statistic", "x", "portal.statistic: unknown key; did you mean statistics?"),
    ("processor", {}, "processor: unknown key; did you mean processors?"),
    (
        "processors.pha.aggregations.kittens-seen.bin",
        2,
        "processors.pha.aggregations.kittens-seen.bin: unknown key; did you mean bins?",
    ),
    ("processors.pha.minimum_clients", REMOVED, "processors.pha.minimum_clients: missing; add it"),
    ("processors.pha.peer_has_lists", REMOVED, "processors.pha.peer_has_lists: missing; add it"),
    ("processors.pha.peer_has_lists", "true", "processors.pha.peer_has_lists: should be a valid boolean"),
    ("processors.pha.minimum_clients", 0, "processors.pha.minimum_clients: should be greater than or equal to 1"),
    ("processors.pha.minimum_clients", "9", "processors.pha.minimum_clients: should be a valid integer"),
    ("processors.pha.role", "portal", "processors.pha.role: should be 'pha' or 'facilitator'"),
    (
        "processors.pha.undecryptable_limit",
        1.5,
        "processors.pha.undecryptable_limit: should be less than or equal to 1",
    ),
    ("processors.pha.look_every", 0, "processors.pha.look_every: no time at all; give at least 1s"),
    ("processors.pha.instance", "us/ct", "processors.pha.instance: not an instance name; use letters, "),
    ("processors.pha.instance", "ledger", "processors.pha.instance: reserved for other objects of the state storage"),
    ("processors.pha.state", "", "processors.pha.state: a storage URL is empty: write s3://region/bucket/prefix, "),
    ("processors.pha.state", 5, "processors.pha.state: not a storage; write its URL, or a mapping with its url"),
    ("processors.pha.state", {"profile": "x"}, "processors.pha.state.url: missing; add it"),
    ("processors.pha.state", {"url": "x", "regoin": "y"}, "processors.pha.state.regoin: unknown key; remove it, or "),
    ("processors.pha.state", "s4://bucket", "processors.pha.state: 's4' is not the beginning of a storage URL: write "),
    ("processors.pha.state", "file:state", "processors.pha.state: 'file:state': not the URL of a directory here; "),
    ("processors.pha.state", "s3://bucket/prefix", "processors.pha.state: 's3://bucket/prefix': its first part is no "),
    (
        "ingestor.pha_ingestion",
        "gs://B",
        "ingestor.pha_ingestion: 'gs://B': no bucket's name; write gs://bucket/prefix",
    ),
    ("portal.statistics", "gs:/bucket", "portal.statistics: 'gs' is not the beginning of a storage URL: write "),
    (
        "processors.pha.state",
        {"url": "gs://bucket", "profile": "prio"},
        "processors.pha.state: gs://bucket: profile has no meaning for this kind of storage; remove it",
    ),
    (
        "processors.pha.state",
        {"url": "s3://us-west-2/bucket", "impersonate": "a@b.example"},
        "processors.pha.state: s3://us-west-2/bucket: impersonate has no meaning for this kind of storage; remove it",
    ),
    (
        "processors.pha.state",
        {"url": "/state", "read_timeout": "5s"},
        "processors.pha.state: /state: read_timeout has no meaning for this kind of storage; remove it",
    ),
    (
        "processors.pha.state",
        {"url": "s3://us-west-2/bucket", "external_id": "ours"},
        "processors.pha.state: s3://us-west-2/bucket: external_id is for the role in assume_role; give it, or remove",
    ),
    *(
        (
            "processors.pha.state",
            {"url": "s3://us-west-2/bucket", key: value},
            f"processors.pha.state.{key}: {message}",
        )
        for key, value, message in [
            ("endpoint", "store.example", "not the address of a server; write https://host or https://host:port, and "),
            ("endpoint", "ftp://store.example", "not the address of a server; write https://host"),
            ("endpoint", "https://", "not the address of a server; write https://host"),
            ("endpoint", "https://store.example/bucket", "not the address of a server; write https://host"),
            ("endpoint", "https://store.example?x=1", "not the address of a server; write https://host"),
            ("endpoint", "http://store_server:9000", "not the address of a server; write https://host"),
            ("endpoint", "https://h..x", "not the address of a server; write https://host"),
            ("endpoint", "https://*", "not the address of a server; write https://host"),
            ("endpoint", "https://store.example:99999", "not the address of a server; write https://host"),
            ("assume_role", "reader", "not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME"),
            ("assume_role", "arn:aws:iam::12:role/x", "not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME"),
            ("external_id", "two words", "not an external id; write the one that the role's owner gave you"),
            ("profile", "", "empty; give a text"),
            ("impersonate", "somebody", "not a service account; write its e-mail address, NAME@PROJECT.iam."),
            ("attempts", 0, "should be greater than or equal to 1"),
            ("attempts", 21, "should be less than or equal to 20"),
            ("connect_timeout", "0s", "no time at all; give at least 1s"),
            ("read_timeout", 0, "no time at all; give at least 1s"),
            ("read_timeout", 60, "not a duration; write a whole number and a unit"),
        ]
    ),
    ("processors.PHA", {}, "processors.PHA: not a name; use a to z, 0 to 9 and _ only"),
    ("processors.pha", None, "processors.pha: not a mapping; write the keys of this section below it: instance, "),
    ("processors.pha.period", "8 hours", "processors.pha.period: not a duration; write a whole number and a unit, "),
    ("processors.pha.period", 8, "processors.pha.period: not a duration; write a whole number and a unit, "),
    ("processors.pha.late_limit", False, "processors.pha.late_limit: not a duration; write a whole number "),
    ("processors.pha.late_limit", "-1d", "processors.pha.late_limit: not a duration; write a whole number "),
    ("processors.pha.late_limit", "9999999d", "processors.pha.late_limit: longer than 3650d; lower it"),
    ("processors.pha.period", "7h", "processors.pha.period: not a part of a day; take whole minutes of which "),
    ("processors.pha.period", "90s", "processors.pha.period: not a part of a day; take whole minutes of which "),
    ("processors.pha.period", 0, "processors.pha.period: not a part of a day; take whole minutes of which "),
    ("processors.pha.period", "2d", "processors.pha.period: not a part of a day; take whole minutes of which "),
    (
        "processors.pha.first_window",
        "2026-01-01T09:00Z",
        "processors.pha.first_window: not the start of a window; take midnight UTC plus a multiple of 8h",
    ),
    ("processors.pha.first_window", "soon", "processors.pha.first_window: not a time; write it as 2026-01-31T16:00Z"),
    ("portal.first_window", "0001-01-01T00:00+08:00", "portal.first_window: not a time; write it as 2026-01-31T16:00Z"),
    (
        "processors.pha.intake_max_age",
        "2d",
        "processors.pha.intake_max_age: 2d is less than late_limit 2d + period 8h + grace 1h + patience 1h = 58h; "
        "raise it, or lower late_limit",
    ),
    ("processors.pha.margin", "5m", "processors.pha.margin: only for a peer without lists; remove it"),
    (
        "processors.pha.peer_has_lists",
        False,
        "processors.pha.late_limit: a peer without lists never counts late batches; remove it",
    ),
    (
        "processors.pha.aggregations.puppies",
        {"labels": ["a"]},
        "processors.pha.aggregations.puppies.bins: missing, and needed with peer_has_lists; give bins and epsilon",
    ),
    (
        "processors.pha.aggregations.a/b",
        {"bins": 1, "epsilon": 1},
        "processors.pha.aggregations.a/b: not the name of an aggregation; name it as its folder",
    ),
    (
        "processors.pha.aggregations.kittens-seen.epsilon",
        REMOVED,
        "processors.pha.aggregations.kittens-seen.epsilon: missing; give bins and epsilon, or no parameters at all",
    ),
    (
        "processors.pha.aggregations.kittens-seen.epsilon",
        float("inf"),
        "processors.pha.aggregations.kittens-seen.epsilon: should be a finite number",
    ),
    (
        "processors.pha.aggregations.kittens-seen.bins",
        0,
        "processors.pha.aggregations.kittens-seen.bins: should be greater than or equal to 1",
    ),
    (
        "processors.pha.aggregations.kittens-seen.bins",
        524288,
        "processors.pha.aggregations.kittens-seen.bins: should be less than or equal to 524287",
    ),
    (
        "processors.pha.aggregations.kittens-seen.hamming_weight",
        3,
        "processors.pha.aggregations.kittens-seen.hamming_weight: 3 of 2 bins can't be set; lower it, or raise bins",
    ),
    (
        "processors.pha.aggregations.kittens-seen.labels",
        ["a", "b", "c"],
        "processors.pha.aggregations.kittens-seen.labels: 3 labels for 2 bins; give every bin one label",
    ),
    ("portal.labels.kittens-seen", "yes", "portal.labels.kittens-seen: not a list; write [one, two, ...]"),
    ("portal.name", "pha", "portal.name: pha is another party's name too; choose a name of its own"),
    ("ingestor.name", "portal", "ingestor.name: portal is another party's name too; choose a name of its own"),
    (
        "portal.period",
        "4h",
        "portal.period: not that of processors.pha, which is of the same instance; make them equal",
    ),
    (
        "processors.facilitator.first_window",
        "2026-01-01",
        "processors.facilitator.first_window: not that of processors.pha, which is of the same instance; make them",
    ),
    (
        "processors.facilitator.role",
        "pha",
        "processors.facilitator.role: processors.pha has this role in the same instance; remove one of the two",
    ),
    ("processors.pha.patience", "6d", "processors.pha.intake_max_age: 7d is less than late_limit 2d + period 8h + "),
    ("processors.pha.own_validations", "pha/state", f"processors.pha.state: {APART.format('pha.own_validations')}"),
    ("processors.facilitator.state", "pha/../pha/state", f"processors.facilitator.state: {APART.format('pha.state')}"),
    (
        "processors.facilitator.own_validations",
        "pha/peer/own",
        f"processors.facilitator.own_validations: {APART.format('pha.peer_validations')}",
    ),
    (
        "processors.pha.state",
        "facilitator",
        f"processors.pha.state: {APART.format('pha.peer_bucket')}",
    ),
    ("portal.statistics", "pha/state/statistics", f"portal.statistics: {APART.format('pha.state')}"),
    ("ingestor.pha_ingestion", "pha/own", f"ingestor.pha_ingestion: {APART.format('pha.own_validations')}"),
    (
        "processors.pha.peer_bucket",
        "pha/peer/ours",
        "processors.pha.peer_bucket: the same storage as peer_validations, or one is within the other; name the peer's",
    ),
    ("processors.pha.peer_keys", {}, "processors.pha.peer_keys: empty; give at least one"),
    (
        "processors.pha.peer_keys",
        {"k": 5},
        "processors.pha.peer_keys.k: not a public key; write its text, PEM or base64",
    ),
    ("processors.pha.packet_decryption_keys", {}, "processors.pha.packet_decryption_keys: not a list; write [one, "),
    (
        "processors.pha.packet_decryption_keys",
        [],
        "processors.pha.packet_decryption_keys: empty; give at least one",
    ),
    (
        "processors.pha.signing_key.secret",
        {"env": "A", "file": "b"},
        "processors.pha.signing_key.secret: not one reference; write either {env: NAME} or {file: PATH}",
    ),
    ("processors.pha.signing_key.identifier", "", "processors.pha.signing_key.identifier: empty; give a text"),
    (
        "processors.pha.signing_key.secret",
        {},
        "processors.pha.signing_key.secret: not one reference; write either {env: NAME} or {file: PATH}",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD_SETTINGS)
def test_bad_settings(
    load: Any, content: dict[str, Any], tmp_path: Path, path: str, value: object, message: str
) -> None:
    put(content, path, value)
    with pytest.raises(ConfigurationError) as error:
        load(content)
    assert str(error.value).startswith(f"{tmp_path / 'prio.yaml'}: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("party", ["pha", "facilitator"])
def test_a_link_to_a_storage_that_the_peer_reads_is_not_private(
    load: Any, content: dict[str, Any], tmp_path: Path, party: str
) -> None:
    bucket = tmp_path / content["processors"][party]["peer_bucket"]
    bucket.mkdir(parents=True)
    (tmp_path / "private").symlink_to(bucket)
    content["processors"][party]["own_validations"] = "private/own"
    with pytest.raises(ConfigurationError, match="one is within the other; give each its own"):
        load(content)


@pytest.mark.parametrize("place", ["pha", "s3://us-west-2/bucket", "gs://bucket/pha"])
def test_storages_side_by_side_are_apart(load: Any, content: dict[str, Any], place: str) -> None:
    content["processors"]["pha"] |= {"state": f"{place}/own-state", "own_validations": f"{place}/own"}
    load(content)


@pytest.mark.parametrize(("state", "own"), [("", "/own"), ("/own", "/own/"), ("/all/state", "/all")])
@pytest.mark.parametrize("bucket", ["s3://us-west-2/bucket", "gs://bucket"])
def test_prefixes_of_a_bucket_within_each_other_are_not_apart(
    load: Any, content: dict[str, Any], bucket: str, state: str, own: str
) -> None:
    content["processors"]["pha"] |= {"state": bucket + state, "own_validations": {"url": bucket + own, "attempts": 2}}
    with pytest.raises(ConfigurationError, match=r"processors\.pha\.state: the same storage as processors\.pha\.own_v"):
        load(content)


@pytest.mark.parametrize("secret", ["https://name:hunter2@store.example", "https://hunter2@store.example/hunter2"])
def test_a_secret_in_an_endpoint_is_not_repeated(load: Any, content: dict[str, Any], secret: str) -> None:
    content["processors"]["pha"]["state"] = {"url": "gs://bucket", "endpoint": secret}
    with pytest.raises(ConfigurationError, match=r"state\.endpoint: not the address") as error:
        load(content)
    assert "hunter2" not in str(error.value)


def test_margin_beyond_grace(load: Any, content: dict[str, Any]) -> None:
    content["processors"]["pha"].update(peer_has_lists=False, late_limit=0, margin="2h")
    with pytest.raises(ConfigurationError, match=r"processors.pha.margin: 2h is more than grace 1h; lower it"):
        load(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("portal: [", "line 1: "),
        ("portal:\n  name: a\n  period: 8h\n  name: b\n", "line 4: the key name is there twice; correct the YAML"),
        ("a: *b", "line 1: found undefined alias 'b'; correct the YAML"),
        ("a: \x01", "not YAML (a character, number or depth that is not allowed); correct it"),
        ("a: 0x_", "not YAML (a character, number or depth that is not allowed); correct it"),
        pytest.param("[" * 5000, "not YAML (a character, number or depth that is not allowed)", id="deep"),
        ("", "not a mapping; write the keys of this section below it: processors, portal, ingestor"),
        ("- 1", "not a mapping; write the keys of this section below it: processors, portal, ingestor"),
        ("1: 2", "1: unknown key; remove it, or use processors, portal, ingestor"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_text(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'prio.yaml'}: {message}")
    assert "\n" not in str(error.value)


def test_anchors_may_be_merged_and_overridden(tmp_path: Path, content: dict[str, Any]) -> None:
    """What two parties have in common may be written once, and a merged key may be set again."""
    pha = content["processors"].pop("pha")
    content["processors"] = {"first": pha}
    second = (
        "  second:\n    <<: *first\n    role: facilitator\n    state: other/state\n    own_validations: other/own\n"
    )
    text = yaml.safe_dump({"processors": content["processors"]}, sort_keys=False).replace("first:", "first: &first", 1)
    configuration = load_text(tmp_path, text + second)
    assert configuration.processors["second"].role == "facilitator"
    assert configuration.processors["second"].period == configuration.processors["first"].period


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.yaml: cannot be read .No such file or directory.; name the"):
        load_configuration(tmp_path / "none.yaml")


def test_the_current_configuration_is_read_again_once_the_file_has_changed(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "prio.yaml"
    path.write_text(yaml.safe_dump(content))
    before = current_configuration(path)
    assert current_configuration(path) is before
    content["processors"]["pha"]["minimum_clients"] = before.processors["pha"].minimum_clients + 1
    path.write_text(yaml.safe_dump(content) + "\n")
    now = current_configuration(path)
    assert now.processors["pha"].minimum_clients == before.processors["pha"].minimum_clients + 1
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"prio.yaml: cannot be read"):
        current_configuration(path)


def test_a_change_that_keeps_size_and_time_of_the_file_is_seen(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "prio.yaml"
    content["processors"]["pha"]["minimum_clients"] = 11
    path.write_text(yaml.safe_dump(content))
    written = path.stat()
    assert current_configuration(path).processors["pha"].minimum_clients == 11
    content["processors"]["pha"]["minimum_clients"] = 12
    path.write_text(yaml.safe_dump(content))
    now = path.stat()
    while now.st_mtime_ns != written.st_mtime_ns or now.st_ctime_ns == written.st_ctime_ns:  # the clock ticks in ms
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
        now = path.stat()
    assert (now.st_ino, now.st_size, now.st_mtime_ns) == (written.st_ino, written.st_size, written.st_mtime_ns)
    assert current_configuration(path).processors["pha"].minimum_clients == 12


def test_binary_file(tmp_path: Path) -> None:
    (tmp_path / "prio.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigurationError, match=r"prio.yaml: not a text file; write it as YAML in UTF-8"):
        load_configuration(tmp_path / "prio.yaml")


@pytest.mark.parametrize(
    "path", ["processors.pha.signing_key.secret", "processors.pha.signing_key", "processors.pha.peer_has_lists"]
)
def test_misplaced_secrets_are_not_repeated(load: Any, content: dict[str, Any], keys: Any, path: str) -> None:
    secret = keys["pha"]["private_pkcs8_b64"]
    put(content, path, secret)
    with pytest.raises(ConfigurationError) as error:
        load(content)
    assert secret not in str(error.value)


def test_a_secret_for_the_name_of_a_variable_is_not_repeated(load: Any, content: dict[str, Any], keys: Any) -> None:
    secret = keys["packet_decryption"]["pha"][0]
    put(content, "processors.pha.packet_decryption_keys", [{"env": secret}])
    with pytest.raises(ConfigurationError) as error:
        load(content)
    assert str(error.value).endswith("packet_decryption_keys.0.env: not the name of an environment variable; name one")
    assert secret not in str(error.value)


def test_keys_of_the_file(load: Any, content: dict[str, Any], keys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    packet_keys = keys["packet_decryption"]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "packet-key").write_text(packet_keys["pha"][0] + "\n")
    monkeypatch.setenv("OLD_PACKET_KEY", packet_keys["facilitator"][0])
    monkeypatch.setenv("PHA_SIGNING_KEY", keys["pha"]["private_pkcs8_b64"])
    configuration = load(content)
    pha = configuration.processors["pha"]
    assert pha.signing_key.load().identifier == keys["pha"]["id"]
    points = [key.public_point for key in pha.load_packet_decryption_keys()]
    assert points == [configuration.ingestor.pha_packet_key, configuration.ingestor.facilitator_packet_key]
    signature = pha.signing_key.load().sign(b"message")
    pha_key = configuration.portal.pha_keys[keys["pha"]["id"]]
    pha_key.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))


def test_secrets_are_not_shown(load: Any, content: dict[str, Any], keys: Any, monkeypatch: Any) -> None:
    secret = keys["pha"]["private_pkcs8_b64"]
    monkeypatch.setenv("PHA_SIGNING_KEY", secret)
    configuration = load(content)
    configuration.processors["pha"].signing_key.load()
    assert secret not in repr(configuration)
    assert keys["packet_decryption"]["pha"][0] not in repr(configuration)


def test_missing_secrets_are_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match=r"^environment variable NO_SUCH_SECRET: no secret in it; set it"):
        SecretReference(env="NO_SUCH_SECRET").resolve()
    path = tmp_path / "key"
    reference = SecretReference.model_validate({"file": "key"}, context={"directory": tmp_path})
    with pytest.raises(ConfigurationError, match=rf"^file {path}: cannot be read .No such file or directory.; make"):
        reference.resolve()
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=rf"^file {path}: not a text; write the secret as base64 text$"):
        reference.resolve()


def test_bad_secret_names_its_place(monkeypatch: Any) -> None:
    monkeypatch.setenv("SIGNING_KEY", "bm8ga2V5")
    reference = SigningKeyReference(identifier="key-1", secret=SecretReference(env="SIGNING_KEY"))
    with pytest.raises(InvalidKeyError, match=r"^environment variable SIGNING_KEY: ") as error:
        reference.load()
    assert "bm8ga2V5" not in str(error.value)
