"""The doctor finds an engine that computes wrongly and what is wrong with a deployment, and shows no secret."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prio_assets.cli.self_test import faults_of
from prio_assets.errors import OperationalError
from prio_assets.prio.choice import Choice, choose_engine
from prio_assets.prio.engine import Engine, Verification
from prio_assets.prio.plain import PlainEngine
from tests.cli.conftest import CASE, Deployed
from tests.cli.interop_case import ROLES, Case, arguments
from tests.cli.program import error, run, run_apart
from tests.prio.engines import ENGINES

NOT_TRIED = "whether we may create is not tried here"


class Changed(PlainEngine):
    """An engine whose results are not what they should be."""

    name = "changed"

    def __init__(self, change: Callable[[Verification], Verification]) -> None:
        self.change = change

    def verify(self, *arguments: Any) -> Verification:
        return self.change(super().verify(*arguments))


def one_more(name: str) -> Engine:
    """One in one value is too much."""

    def change(result: Verification) -> Verification:
        column = getattr(result, name).copy()
        column[0] += 1
        return result._replace(**{name: column})

    return Changed(change)


def failing(exception: Exception) -> Engine:
    def change(result: Verification) -> Verification:
        raise exception

    return Changed(change)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine], None]:
    """Makes this engine the one that is chosen."""

    def choose(engine: Engine) -> None:
        monkeypatch.setattr("prio_assets.prio.choice.choose_engine", lambda: Choice(engine, ("of a test",)))

    return choose


def report_of(result: Any) -> dict[str, Any]:
    return json.loads(result.stdout)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_every_engine_passes(engine: Engine) -> None:
    assert faults_of(engine) == []


@pytest.mark.parametrize("name", ["f_r", "g_r", "h_r", "status", "data_sum"])
def test_any_difference_from_the_plain_engine_is_found(name: str) -> None:
    assert f"as PHA it differs from the plain engine in {name}" in faults_of(one_more(name))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda result: result._replace(status=np.zeros_like(result.status)), "accept the packets that are good"),
        (lambda result: result._replace(h_r=np.zeros_like(result.h_r)), "proofs that hold do not hold"),
        (lambda result: result._replace(data_sum=np.zeros_like(result.data_sum)), "not the clients' data"),
    ],
)
def test_an_error_that_both_engines_make_is_found(
    change: Callable[[Verification], Verification], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prio_assets.cli.self_test.PlainEngine", lambda: Changed(change))
    (fault,) = faults_of(Changed(change))
    assert said in fault


def test_an_engine_that_fails_is_told_without_a_traceback(chosen: Callable[[Engine], None]) -> None:
    chosen(failing(OperationalError("libcrypto failed")))
    said = error(run("doctor", env={"PRIO_CONFIG": ""}), 1)
    assert "error: self-test: the engine changed fails: libcrypto failed; set PRIO_ENGINE=plain" in said
    chosen(failing(ValueError("a compiler's long text")))
    result = run("doctor", env={"PRIO_CONFIG": ""})
    assert "fails: it ends with ValueError, set PRIO_DEBUG=1 to see where; set PRIO_ENGINE=plain" in error(result, 1)
    assert "self-test     WRONG: the engine changed fails" in result.stdout


def test_what_runs_here_is_told() -> None:
    result = run("doctor", "--format", "json", env={"PRIO_CONFIG": ""})
    assert result.exit_code == 0, result.output
    report = report_of(result)
    engine, reasons = choose_engine()
    assert (report["engine"], report["no_faster_because"]) == (engine.name, list(reasons))
    assert report["cores"] >= 1
    lines = run("doctor", env={"PRIO_CONFIG": ""}).stdout.splitlines()
    assert f"engine        {engine.name}" in lines
    assert f"python        {report['python']}" in lines
    assert lines[-1].startswith("self-test     passed: ")


@pytest.fixture
def with_secrets(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    for role in ROLES:
        monkeypatch.setenv(f"{role.upper()}_SIGNING_KEY", CASE.keys[role]["private_pkcs8_b64"])
        monkeypatch.setenv(f"{role.upper()}_PACKET_KEY", CASE.keys["packet_decryption"][role][0])
    deployed.state_init()
    return deployed


def test_a_deployment_in_order_has_no_fault_and_shows_public_halves_only(with_secrets: Deployed) -> None:
    result = with_secrets.run("doctor")
    assert result.exit_code == 0, result.output
    assert f"configuration                 {with_secrets.file} is valid" in result.stdout
    signing, packet = CASE.keys["pha"], CASE.keys["packet_decryption"]["pha"][0]
    public = "".join(signing["public_pem"].splitlines()[1:-1])
    assert f"pha signing key               {signing['id']}, public half {public}" in result.stdout
    assert f"pha packet keys               public halves {packet[:84]}" in result.stdout
    assert (
        f"pha state                     {with_secrets.folder}/pha/state: made; batches before 2023-05-31"
        in result.stdout
    )
    assert f"pha sum_parts                 {with_secrets.folder}/portal/pha: can be read; {NOT_TRIED}" in result.stdout
    assert packet[90:] not in result.output
    assert signing["private_pkcs8_b64"][48:88] not in result.output


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("signing key", "environment variable PHA_SIGNING_KEY: no secret in it"),
        ("packet keys", "environment variable PHA_PACKET_KEY: the packet decryption key is not base64"),
        ("state", "has no state"),
        *((storage, "is not there") for storage in ("ingestion", "peer_validations", "peer_bucket", "sum_parts")),
    ],
)
def test_what_is_wrong_with_a_processor_is_told(
    about: str, said: str, with_secrets: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHA_SIGNING_KEY", "" if about == "signing key" else CASE.keys["pha"]["private_pkcs8_b64"])
    if about == "packet keys":
        monkeypatch.setenv("PHA_PACKET_KEY", "c2VjcmV0IQ")
    elif about == "state":
        (with_secrets.folder / "pha" / "state" / "state").unlink()
    elif about != "signing key":
        with_secrets.set("pha", **{about: str(with_secrets.folder / "nowhere")})
    result = with_secrets.run("doctor", "--format", "json")
    (fault,) = [finding for finding in report_of(result)["findings"] if finding["is_fault"]]
    assert fault["about"] == f"pha {about}"
    assert said in fault["text"]
    assert f"error: pha {about}: " in error(result, 1)
    assert "c2VjcmV0IQ" not in result.output


def test_portal_and_ingestor_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("INGESTOR_SIGNING_KEY", CASE.keys["ingestor"]["private_pkcs8_b64"])
    portal = {
        "instance": "try",
        "period": "8h",
        "first_window": "2023-05-31T00:00Z",
        "grace": "1h",
        "pha_sum_parts": "there",
        "facilitator_sum_parts": "elsewhere",
        "statistics": "there",
        "pha_keys": {"1": CASE.keys["pha"]["public_pem"]},
        "facilitator_keys": {"1": CASE.keys["facilitator"]["public_pem"]},
    }
    ingestor = {
        "pha_ingestion": "there",
        "facilitator_ingestion": "elsewhere",
        "signing_key": {"identifier": "1", "secret": {"env": "INGESTOR_SIGNING_KEY"}},
        "pha_packet_key": CASE.keys["packet_decryption"]["pha"][0],
        "facilitator_packet_key": CASE.keys["packet_decryption"]["facilitator"][0],
    }
    file = tmp_path / "prio.yaml"
    file.write_text(json.dumps({"portal": portal, "ingestor": ingestor}))
    result = run("doctor", "--format", "json", "--configuration", file)
    assert error(result, 1).endswith("(1 more above)")
    findings = report_of(result)["findings"]
    not_tried = {finding["about"] for finding in findings if finding["text"].endswith(f"; {NOT_TRIED}")}
    assert not_tried == {"portal statistics", "ingestor pha_ingestion"}
    found = {finding["about"]: finding["is_fault"] for finding in findings}
    assert found == {
        "self-test": False,
        "configuration": False,
        "portal pha_sum_parts": False,
        "portal facilitator_sum_parts": True,
        "portal statistics": False,
        "ingestor signing key": False,
        "ingestor pha_ingestion": False,
        "ingestor facilitator_ingestion": True,
    }


def test_a_file_that_is_not_valid_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "prio.yaml").write_text("processors: []")
    result = run("doctor", "--configuration", tmp_path / "prio.yaml")
    assert "error: configuration: " in error(result, 1)
    assert "prio.yaml: processors: " in result.stdout


AFTER_THE_SELF_TEST = """
import atexit, sys
from prio_assets.cli.self_test import faults_of
from prio_assets.prio.choice import choose_engine
def kernels():
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("prio_assets.")]
    found = {(module.__name__, name): value for module in modules for name, value in vars(module).items()}
    return {key: len(value.signatures) for key, value in found.items() if hasattr(value, "signatures")}
assert faults_of(choose_engine().engine) == []
before = kernels()
atexit.register(lambda: print("compiled:", *(kernels().items() - before.items()), file=sys.stderr))
"""


def test_after_the_self_test_nothing_is_left_to_compile(tmp_path: Path) -> None:
    """In an image in whose build the doctor ran. Batch and validations are so large that they are read in bulk."""
    batch = {"time": CASE.batches[0]["time"], "id": "11111111-2222-4333-8444-555555555555"}
    keys = {name: (CASE.keys[name]["private_pkcs8_b64"], CASE.keys[name]["id"]) for name in (*ROLES, "ingestor")}
    sample = {
        "aggregation_id": CASE.facts["aggregation"],
        "date": batch["time"],
        "batch_id": batch["id"],
        "dimension": 3,
        "packet_count": 400,
        "epsilon": 1,
        "batch_start_time": 1,
        "batch_end_time": 2,
        "batch_signing_private_key": keys["ingestor"][0],
        "batch_signing_private_key_identifier": keys["ingestor"][1],
        "pha_ecies_public_key": CASE.keys["packet_decryption"]["pha"][0],
        "facilitator_ecies_public_key": CASE.keys["packet_decryption"]["facilitator"][0],
        "peer_output": tmp_path / "pha",
        "facilitator_output": tmp_path / "facilitator",
    }
    assert run(*arguments("generate-ingestion-sample", sample)).exit_code == 0
    steps = []
    for role in (0, 1):
        case = Case(CASE.name, role)
        places = {"ingestor_input": tmp_path / case.role, "own_output": tmp_path / f"{case.role}-own"}
        steps.append(arguments("intake-batch", case.intake_options(batch, tmp_path / f"{case.peer}-peer", **places)))
    pha = Case(CASE.name, 0)
    places = {
        "ingestor_input": tmp_path / "pha",
        "peer_input": tmp_path / "pha-peer",
        "own_input": tmp_path / "pha-own",
    }
    only = {"batch_id": [batch["id"]], "batch_time": [batch["time"]]}
    steps.append(arguments("aggregate", pha.aggregate_options(tmp_path / "portal", **places, **only)))
    for step in steps:
        done = run_apart(*step, env={}, first=AFTER_THE_SELF_TEST)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "compiled:"
