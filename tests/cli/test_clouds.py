"""The commands over buckets, of servers in other processes: what they write there, and what they say when it fails."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Deployed
from tests.cli.interop_case import ROLES, Case, arguments
from tests.cli.program import run, run_apart
from tests.clouds import KINDS, Cloud, Clouds

PLAIN = Case("plain-8", 0)
NOT_TRIED = "whether we may create is not tried here"
ROLE = "arn:aws:iam::123456789012:role/intake"
OTHERS_REGION = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using the
specified endpoint.</Message><Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint><Bucket>bucket</Bucket></Error>"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def upload(cloud: Cloud, folder: Path) -> str:
    """The URL of a new bucket with the folder's files."""
    url = cloud.create_bucket()
    for name, data in files(folder).items():
        cloud.put(url, name, data)
    return url


def through(clouds: Clouds) -> dict[str, str | None]:
    """The environment in which the SDKs find the emulators, each behind its proxy, whose faults stay."""
    for kind in KINDS:
        if kind not in clouds.running:
            clouds[kind]
    return {
        "AWS_ENDPOINT_URL": clouds.running["s3"].proxy.endpoint,
        "STORAGE_EMULATOR_HOST": clouds.running["gcs"].proxy.endpoint,
        "PRIO_ENGINE": "plain",
    }


def intake(clouds: Clouds, env: dict[str, str | None] | None = None, **changes: Any) -> Any:
    given = arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], **changes))
    return run_apart(*given, env=through(clouds) | (env or {}))


def said(done: Any) -> str:
    """The one line of a run that failed."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("prio-assets: engine: ")]
    assert [line[:20] for line in lines] == ["prio-assets: error: "], done.stderr
    return lines[0]


def test_a_batch_goes_from_one_cloud_to_the_other_as_it_goes_between_directories(
    clouds: Clouds, tmp_path: Path
) -> None:
    assert run(*arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], tmp_path))).exit_code == 0
    s3, gcs = clouds["s3"], clouds["gcs"]
    ingestion, peer, own = upload(s3, PLAIN.ingestion), gcs.create_bucket(), s3.create_bucket()
    done = intake(
        clouds,
        ingestor_input=ingestion,
        ingestor_identity=ROLE,
        peer_output=f"{peer}/a/prefix",
        own_output=f"{own}/ours",
        own_identity=ROLE,
    )
    assert done.returncode == 0, done.stderr
    assert {name.removeprefix("a/prefix/"): data for name, data in gcs.objects(peer).items()} == files(tmp_path)
    assert {name.split("/")[2] for name in s3.objects(own)} == {"validations", "totals", "receipts"}
    assert ("POST", "/") in [request[:2] for request in s3.proxy.requests()]  # to STS


def test_a_window_is_summed_and_collected_over_clouds_as_over_directories(clouds: Clouds, tmp_path: Path) -> None:
    s3, gcs = clouds["s3"], clouds["gcs"]
    portal = {"pha": gcs.create_bucket(), "facilitator": s3.create_bucket()}
    for index, role in enumerate(ROLES):
        case = Case(PLAIN.name, index)
        assert run(*arguments("aggregate", case.aggregate_options(tmp_path / role))).exit_code == 0
        places = {"ingestor_input": upload(s3, case.ingestion), "peer_input": upload(gcs, case.peer_input)}
        given = arguments("aggregate", case.aggregate_options(portal[role], **places))
        done = run_apart(*given, env=through(clouds))
        assert done.returncode == 0, done.stderr
        assert clouds[portal[role][:2].replace("gs", "gcs")].objects(portal[role]) == files(tmp_path / role)
    ours = run(*arguments("collect", PLAIN.collect_options(tmp_path / "pha", tmp_path / "facilitator")))
    places = {f"{role}_input": url for role, url in portal.items()}
    given = arguments("collect", PLAIN.collect_options(Path("x"), Path("y")) | places)
    done = run_apart(*given, env=through(clouds))
    assert (done.returncode, done.stdout) == (0, ours.stdout), done.stderr


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_sample_is_written_to_a_cloud(clouds: Clouds, kind: str) -> None:
    cloud = clouds[kind]
    buckets = [cloud.create_bucket() for _ in ROLES]
    options = {
        "aggregation_id": "kittens-seen",
        "dimension": 2,
        "packet_count": 3,
        "epsilon": 1,
        "batch_start_time": 1,
        "batch_end_time": 2,
        "batch_signing_private_key": PLAIN.keys["ingestor"]["private_pkcs8_b64"],
        "batch_signing_private_key_identifier": "1",
        "pha_ecies_public_key": PLAIN.keys["packet_decryption"]["pha"][0],
        "facilitator_ecies_public_key": PLAIN.keys["packet_decryption"]["facilitator"][0],
        "peer_output": buckets[0],
        "facilitator_output": f"{buckets[1]}/in",
    }
    done = run_apart(*arguments("generate-ingestion-sample", options), env=through(clouds))
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    parts = {f"{name}.batch{ending}" for ending in ("", ".avro", ".sig")}
    assert cloud.objects(buckets[0]).keys() == parts
    assert cloud.objects(buckets[1]).keys() == {f"in/{part}" for part in parts}


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_bucket_that_is_not_there_is_named(clouds: Clouds, kind: str) -> None:
    place = {"s3": "s3://us-west-2/no-such-bucket", "gcs": "gs://no-such-bucket"}[kind]
    assert "no-such-bucket" in said(intake(clouds, ingestor_input=place, peer_output=place))


@pytest.mark.parametrize("kind", ["s3", "gcs"])
@pytest.mark.parametrize("method", ["GET", "POST|PUT"])
def test_who_is_denied_is_told_where(clouds: Clouds, tmp_path: Path, kind: str, method: str) -> None:
    cloud = clouds[kind]
    places = {"ingestor_input": upload(cloud, PLAIN.ingestion), "peer_output": cloud.create_bucket()}
    cloud.proxy.set(replace(cloud.forbidden, method=method, times=-1))
    line = said(intake(clouds, **places))
    bucket = places["ingestor_input" if method == "GET" else "peer_output"].rpartition("/")[2]
    assert bucket in line
    assert cloud.proxy.applied() > 0


def test_a_bucket_of_another_region_is_told(clouds: Clouds, tmp_path: Path) -> None:
    s3 = clouds["s3"]
    place = upload(s3, PLAIN.ingestion)
    headers = {"Content-Type": "application/xml", "x-amz-bucket-region": "eu-west-1"}
    s3.proxy.set(replace(s3.forbidden, times=-1, status=301, headers=headers, body=OTHERS_REGION))
    line = said(intake(clouds, ingestor_input=place, peer_output=tmp_path))
    assert place.rpartition("/")[2] in line
    assert "region" in line


def test_without_credentials_the_remedy_is_told(clouds: Clouds, tmp_path: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "STORAGE_EMULATOR_HOST": None}
    s3 = said(intake(clouds, nobody, ingestor_input="s3://us-west-2/bucket", peer_output=tmp_path))
    gcs = said(intake(clouds, nobody, ingestor_input="gs://bucket", peer_output=tmp_path))
    for line in (s3, gcs):
        assert "credentials" in line
        assert "bucket" in line


def test_a_key_file_that_is_none_is_told_by_its_name(clouds: Clouds, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{"private_key": "hunter2"}')
    done = intake(
        clouds,
        {"STORAGE_EMULATOR_HOST": None},
        ingestor_input="gs://bucket",
        peer_output=tmp_path / "peer",
        gcp_service_account_key_file=tmp_path / "key.json",
    )
    assert "bucket" in said(done)
    assert "hunter2" not in done.stderr


# The doctor


def found(deployed: Deployed, clouds: Clouds, **settings: Any) -> dict[str, dict[str, Any]]:
    """What the doctor finds of the processor's storages with these settings."""
    deployed.set("pha", **settings)
    done = deployed.run("doctor", "--format", "json")
    return {each["about"].removeprefix("pha "): each for each in json.loads(done.stdout)["findings"]}


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_the_doctor_tells_of_buckets(deployed: Deployed, clouds: Clouds, kind: str) -> None:
    cloud = clouds[kind]
    own, peer, state, missing = (cloud.create_bucket() for _ in range(4))
    missing += "-not"
    keys = ("own_validations", "peer_bucket", "state", "ingestion")
    deployed.set(
        "pha",
        **{
            key: {"url": url, "endpoint": cloud.endpoint}
            for key, url in zip(keys, (own, peer, state, missing), strict=True)
        },
    )
    deployed.state_init()
    report = found(deployed, clouds)
    at = f"as whoever the SDK finds, at {cloud.endpoint}, whose answers and objects travel unencrypted"
    assert report["own_validations"]["text"] == f"{own}, {at}: can be listed and read; {NOT_TRIED}"
    assert report["peer_bucket"]["text"] == f"{peer}, {at}: creates no object twice, can be read"
    assert report["state"]["text"].startswith(f"{state}, {at}: made; batches before ")
    assert report["ingestion"]["is_fault"]
    assert report["ingestion"]["text"].startswith(f"{missing}, {at}: ")
    assert missing.rpartition("/")[2] in report["ingestion"]["text"].partition(at)[2]
    assert [each for each in report if report[each]["is_fault"] and each in keys] == ["ingestion"]


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_peer_s_bucket_that_may_not_be_read_is_no_fault(deployed: Deployed, clouds: Clouds, kind: str) -> None:
    cloud = clouds[kind]
    peer, sums = cloud.create_bucket(), cloud.create_bucket()
    cloud.proxy.set(replace(cloud.forbidden, method="GET|HEAD", times=-1))
    settings = {"peer_bucket": peer, "sum_parts": sums, "own_validations": cloud.create_bucket()}
    report = found(
        deployed, clouds, **{key: {"url": url, "endpoint": cloud.proxy.endpoint} for key, url in settings.items()}
    )
    no_harm = "is not to be read by us, which does no harm where we may create objects"
    assert report["peer_bucket"]["text"].endswith(f": creates no object twice, {no_harm}")
    assert report["sum_parts"]["text"].endswith(f": {no_harm}; {NOT_TRIED}")
    assert {key: report[key]["is_fault"] for key in settings} == {
        "peer_bucket": False,
        "sum_parts": False,
        "own_validations": True,
    }


def test_the_doctor_tells_which_server_the_environment_names(
    deployed: Deployed, clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDKs' own variables lead elsewhere, though the file names no server."""
    s3, gcs = clouds["s3"], clouds["gcs"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.endpoint)
    own, sums = s3.create_bucket(), gcs.create_bucket()
    report = found(deployed, clouds, own_validations=own, sum_parts=sums)
    for key, url, endpoint, can in (
        ("own_validations", own, s3.endpoint, "can be listed and read"),
        ("sum_parts", sums, gcs.endpoint, "can be read"),
    ):
        at = f"as whoever the SDK finds, at {endpoint}, whose answers and objects travel unencrypted"
        assert report[key]["text"] == f"{url}, {at}: {can}; {NOT_TRIED}"


def test_the_doctor_tells_as_whom(deployed: Deployed, clouds: Clouds) -> None:
    s3, gcs = clouds["s3"], clouds["gcs"]
    role = {"endpoint": s3.endpoint, "assume_role": ROLE, "external_id": "hunter2"}
    account = {"endpoint": gcs.endpoint, "impersonate": "writer@project-1.iam.gserviceaccount.com"}
    report = found(
        deployed,
        clouds,
        ingestion={"url": s3.create_bucket(), **role},
        sum_parts={"url": gcs.create_bucket(), **account},
    )
    assert f", as role {ROLE} with an external id, at http://" in report["ingestion"]["text"]
    assert ", as service account writer@project-1.iam.gserviceaccount.com, at http://" in report["sum_parts"]["text"]
    assert "hunter2" not in str(report)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_in_a_bucket_is_inspected_as_a_file_is(clouds: Clouds, kind: str) -> None:
    ingestion = PLAIN.folder / "pha" / "ingestion"
    url = upload(clouds[kind], ingestion)
    file = next(ingestion.rglob("*.batch"))
    remote = f"{url}/{file.relative_to(ingestion)}"
    shown = run("inspect", file).stdout
    assert "packet digest: holds" in shown
    done = run_apart("inspect", remote, env=through(clouds))
    assert (done.returncode, done.stdout) == (0, shown.replace(str(file), remote)), done.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("{bucket}/a/missing.batch", "{bucket}/a/missing.batch is missing"),
        ("s4://bucket/a", "'s4' is not the beginning of a storage URL"),
        ("{bucket}", "no bucket's name"),
    ],
)
def test_an_object_that_cannot_be_inspected_is_named(clouds: Clouds, url: str, words: str) -> None:
    bucket = clouds["s3"].create_bucket()
    done = run_apart("inspect", url.format(bucket=bucket), env=through(clouds))
    assert done.returncode == 1
    assert words.format(bucket=bucket) in done.stderr
    assert "Traceback" not in done.stderr
