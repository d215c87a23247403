"""A deployment of both roles over directories, as the commands that read the configuration file find it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from prio_assets.clock import fixed_clock
from prio_assets.configuration import load_configuration
from prio_assets.processor.processor import ShareProcessor, load_processor
from prio_assets.wire.names import BatchName
from prio_assets.wire.uuids import parse_uuid
from prio_assets.wire.windows import Window, parse_minute
from tests.cli.interop_case import ROLES, Case
from tests.cli.program import run

CASE = Case("plain-8", 0)
AFTER_GRACE = parse_minute("2023/06/01/02/00")


@dataclass
class Deployed:
    """The configuration file, and the time that the commands take for the present."""

    folder: Path
    sections: dict[str, dict[str, Any]]
    monkeypatch: pytest.MonkeyPatch
    now: datetime = AFTER_GRACE

    window = Window(*map(parse_minute, CASE.facts["window"]))
    aggregation = CASE.facts["aggregation"]
    batches = tuple(
        BatchName(CASE.facts["aggregation"], parse_minute(batch["time"]), parse_uuid(batch["id"]))
        for batch in CASE.batches
    )

    @property
    def file(self) -> Path:
        return self.folder / "prio.yaml"

    def set(self, role: str, **changes: Any) -> None:
        """Change settings of one processor; None removes one."""
        section = self.sections[role] | changes
        self.sections[role] = {name: value for name, value in section.items() if value is not None}
        self.file.write_text(yaml.safe_dump({"processors": self.sections}))

    def run(self, *arguments: object) -> Any:
        """A command, at the present and with the file in the environment."""
        self.monkeypatch.setattr("prio_assets.clock.system_clock", lambda: self.now)
        return run(*arguments, env={"PRIO_CONFIG": str(self.file)})

    def processor(self, role: str) -> ShareProcessor:
        """The processor with its keys, which the commands must do without."""
        with self._secrets():
            return load_processor(load_configuration(self.file).processors[role], fixed_clock(self.now))

    def state_init(self) -> None:
        for role in self.sections:
            result = self.run("state", "init", "--processor", role)
            assert result.exit_code == 0, result.output

    @contextmanager
    def _secrets(self) -> Iterator[None]:
        with self.monkeypatch.context() as patch:
            for role in ROLES:
                patch.setenv(f"{role.upper()}_SIGNING_KEY", CASE.keys[role]["private_pkcs8_b64"])
                patch.setenv(f"{role.upper()}_PACKET_KEY", CASE.keys["packet_decryption"][role][0])
            yield


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    sections = {}
    for index, role in enumerate(ROLES):
        case = Case(CASE.name, index)
        shutil.copytree(case.ingestion, tmp_path / role / "ingestion", copy_function=shutil.copyfile)
        for path in (tmp_path / role).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for name in ("own", "peer", "state"):
            (tmp_path / role / name).mkdir()
        (tmp_path / "portal" / role).mkdir(parents=True)
        sections[role] = {
            "role": role,
            "instance": case.facts["instance"],
            "ingestion": f"{role}/ingestion",
            "own_validations": f"{role}/own",
            "peer_validations": f"{role}/peer",
            "peer_bucket": f"{case.peer}/peer",
            "state": f"{role}/state",
            "sum_parts": f"portal/{role}",
            "period": "8h",
            "grace": "1h",
            "first_window": "2023-05-31T00:00Z",
            "minimum_clients": 1,
            "peer_has_lists": True,
            "aggregations": {case.facts["aggregation"]: {"bins": 8, "epsilon": 0.11}},
            "signing_key": {"identifier": case.keys[role]["id"], "secret": {"env": f"{role.upper()}_SIGNING_KEY"}},
            "packet_decryption_keys": [{"env": f"{role.upper()}_PACKET_KEY"}],
            "ingestor_keys": {case.keys["ingestor"]["id"]: case.keys["ingestor"]["public_pem"]},
            "peer_keys": {case.keys[case.peer]["id"]: case.keys[case.peer]["public_pem"]},
        }
    deployed = Deployed(tmp_path, sections, monkeypatch)
    deployed.set("pha")
    return deployed
