"""Commands as an operator gives them, run to their end, with what the kernel says that they took."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.datasets import AGGREGATION, WINDOW
from benchmarks.parties import PARTIES, ROLES
from benchmarks.places import peer_of
from prio_assets.wire.keys import public_signing_key_text
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import format_minute

Place = Path | str
"""A directory or a storage URL."""

PROGRAM = (sys.executable, "-m", "prio_assets.cli.main")


class Ended(NamedTuple):
    """Seconds and megabytes of a process that ended well."""

    processor: float
    wall: float
    peak_megabytes: float
    output: str


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command; `RuntimeError` with its last words where it fails."""
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py"))]
    launched = subprocess.run(
        [*launcher, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}, check=True
    )
    found = json.loads(launched.stdout)
    if found["status"]:
        raise RuntimeError(f"{' '.join(command[:4])} failed: {found['output'][-1000:]}")
    return Ended(found["processor"], found["wall"], found["peak"] / 1e6, found["output"])


def intake_command(role: str, batch: BatchName, ingestion: Place, buckets: Place) -> list[str]:
    """`prio-assets intake-batch` of one batch, with what we keep; all buckets lie below one place."""
    return [
        *PROGRAM,
        "intake-batch",
        *_common(role, ingestion),
        *("--batch-id", str(batch.uuid), "--date", format_minute(batch.time)),
        *("--peer-output", f"{buckets}/{peer_of(role)}/peer-validations"),
        *("--own-output", f"{buckets}/{role}/own-validations"),
    ]


def aggregate_command(role: str, batches: Sequence[BatchName], ingestion: Path, buckets: Path) -> list[str]:
    """`prio-assets aggregate` of batches that were taken in."""
    peer = PARTIES[peer_of(role)]
    named = [
        text for batch in batches for text in ("--batch-id", str(batch.uuid), "--batch-time", format_minute(batch.time))
    ]
    return [
        *PROGRAM,
        "aggregate",
        *_common(role, ingestion),
        *named,
        *("--aggregation-start", format_minute(WINDOW.start), "--aggregation-end", format_minute(WINDOW.end)),
        *("--peer-input", str(buckets / role / "peer-validations")),
        *("--peer-public-key", public_signing_key_text(peer.signing_text)),
        *("--peer-public-key-identifier", peer.key_identifier),
        *("--own-input", str(buckets / role / "own-validations")),
        *("--portal-output", str(buckets / role / "sum-parts")),
    ]


def _common(role: str, ingestion: Place) -> list[str]:
    ingestor = PARTIES["ingestor"]
    return [
        *("--is-first", str(role == ROLES[0]).lower(), "--instance-name", "bench", "--aggregation-id", AGGREGATION),
        *("--ingestor-input", str(ingestion)),
        *("--ingestor-public-key", public_signing_key_text(ingestor.signing_text)),
        *("--ingestor-public-key-identifier", ingestor.key_identifier),
        *("--packet-decryption-keys", PARTIES[role].packet_text),
        *("--batch-signing-private-key", PARTIES[role].signing_text),
        *("--batch-signing-private-key-identifier", PARTIES[role].key_identifier),
    ]
