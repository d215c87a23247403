"""The reference's cases as options of the commands, and what the reference wrote, read by fastavro alone."""

import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fastavro

from tests.vectors import load_vectors_file
from tests.wire.avro import without_logical_types

ROLES = ("pha", "facilitator")
FOLDER = Path(__file__).parents[1] / "interop"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/case.json"))

BASELINE = {
    each["source_schema"]["name"]: fastavro.parse_schema(json.loads(each["embedded_schema"]))
    for each in load_vectors_file("avro_schemas")["schemas"]
}
"""The schemas of the reference's first release, by record name."""


@dataclass(frozen=True)
class Case:
    """One case, seen from one of the two roles."""

    name: str
    index: int

    @property
    def role(self) -> str:
        return ROLES[self.index]

    @property
    def peer(self) -> str:
        return ROLES[1 - self.index]

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @cached_property
    def facts(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text())

    @cached_property
    def keys(self) -> dict[str, Any]:
        return json.loads((self.folder / "keys.json").read_text())

    @property
    def batches(self) -> list[dict[str, Any]]:
        return self.facts["batches"]

    @property
    def ingestion(self) -> Path:
        return self.folder / self.role / "ingestion"

    @property
    def peer_input(self) -> Path:
        """Our bucket, with the validations that the reference wrote as our peer."""
        return self.folder / self.role / "peer-validation"

    @property
    def reference_output(self) -> Path:
        """The peer's bucket, with the validations that the reference wrote in our role."""
        return self.folder / self.peer / "peer-validation"

    def base(self, batch: dict[str, Any]) -> str:
        return f"{self.facts['aggregation']}/{batch['time']}/{batch['id']}"

    def sum_stem(self) -> str:
        window = "-".join(time.replace("/", "") for time in self.facts["window"])
        return f"{self.facts['instance']}/{self.facts['aggregation']}/{window}"

    def _common(self) -> dict[str, Any]:
        return {
            "is_first": "true" if self.index == 0 else "false",
            "instance_name": self.facts["instance"],
            "aggregation_id": self.facts["aggregation"],
            "ingestor_input": self.ingestion,
            "ingestor_public_key": self.keys["ingestor"]["public_x962_b64"],
            "ingestor_public_key_identifier": self.keys["ingestor"]["id"],
            "packet_decryption_keys": ",".join(self.keys["packet_decryption"][self.role]),
            "batch_signing_private_key": self.keys[self.role]["private_pkcs8_b64"],
            "batch_signing_private_key_identifier": self.keys[self.role]["id"],
        }

    def intake_options(self, batch: dict[str, Any], peer_output: Path, **changes: Any) -> dict[str, Any]:
        options = {"batch_id": batch["id"], "date": batch["time"], "peer_output": peer_output}
        return self._common() | options | changes

    def aggregate_options(self, portal_output: Path, **changes: Any) -> dict[str, Any]:
        options = {
            "aggregation_start": self.facts["window"][0],
            "aggregation_end": self.facts["window"][1],
            "batch_id": [batch["id"] for batch in self.batches],
            "batch_time": [batch["time"] for batch in self.batches],
            "peer_input": self.peer_input,
            "peer_public_key": self.keys[self.peer]["public_x962_b64"],
            "peer_public_key_identifier": self.keys[self.peer]["id"],
            "portal_output": portal_output,
        }
        return self._common() | options | changes

    def collect_options(self, pha_input: Path, facilitator_input: Path) -> dict[str, Any]:
        options = {
            "instance_name": self.facts["instance"],
            "aggregation_id": self.facts["aggregation"],
            "aggregation_start": self.facts["window"][0],
            "aggregation_end": self.facts["window"][1],
            "pha_input": pha_input,
            "facilitator_input": facilitator_input,
            "format": "json",
        }
        for role in ROLES:
            options[f"{role}_public_key"] = self.keys[role]["public_x962_b64"]
            options[f"{role}_public_key_identifier"] = self.keys[role]["id"]
        return options


def arguments(command: str, options: dict[str, Any]) -> list[object]:
    """The command line of these options; None leaves one out, a list repeats it."""
    given = [command]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            given += [] if each is None else [f"--{name.replace('_', '-')}", each]
    return given


def read_records(data: bytes, record_name: str) -> list[dict[str, Any]]:
    """The records as a reader of the reference's first release finds them, UUIDs as text."""
    records = fastavro.reader(io.BytesIO(data), reader_schema=BASELINE[record_name])
    return [without_logical_types(record) for record in records]


def read_validation(bucket: Path, base: str, index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and packets of a validation in either form."""
    stem = bucket / f"{base}.validity_{index}"
    (signature,) = fastavro.reader(io.BytesIO(stem.with_name(stem.name + ".sig").read_bytes()))
    header, packets = signature.get("batch_header"), signature.get("packets")
    if header is None:
        header, packets = stem.read_bytes(), stem.with_name(stem.name + ".avro").read_bytes()
    (record,) = read_records(header, "PrioValidityHeader")
    return record, read_records(packets, "PrioValidityPacket")


def read_sum(bucket: Path, case: Case) -> tuple[dict[str, Any], list[str]]:
    """The sum part, and the UUIDs of the packets that are not in it."""
    stem = bucket / case.sum_stem()
    (record,) = read_records(stem.with_name(f"{stem.name}.sum_{case.index}").read_bytes(), "PrioSumPart")
    packets = stem.with_name(f"{stem.name}.invalid_uuid_{case.index}.avro").read_bytes()
    return record, [packet["uuid"] for packet in read_records(packets, "PrioInvalidPacket")] if packets else []
