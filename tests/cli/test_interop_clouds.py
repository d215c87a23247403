"""The reference's batches through intake and aggregation over each cloud give what the reference gives."""

from pathlib import Path

import pytest

from tests.cli.interop_case import arguments, read_sum, read_validation
from tests.cli.program import run_apart
from tests.cli.test_clouds import PLAIN, through, upload
from tests.cli.test_intake_batch import comparable
from tests.clouds import KINDS, Clouds


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_s_batches_give_what_the_reference_gives(clouds: Clouds, tmp_path: Path, kind: str) -> None:
    """Over one cloud: its validation to the packet, its sum to the number, in objects of its names."""
    cloud = clouds[kind]
    ingestion, peer, portal = upload(cloud, PLAIN.ingestion), cloud.create_bucket(), cloud.create_bucket()
    for batch in PLAIN.batches:
        given = arguments("intake-batch", PLAIN.intake_options(batch, peer, ingestor_input=ingestion))
        assert run_apart(*given, env=through(clouds)).returncode == 0
    places = {"ingestor_input": ingestion, "peer_input": upload(cloud, PLAIN.peer_input)}
    given = arguments("aggregate", PLAIN.aggregate_options(portal, **places))
    assert run_apart(*given, env=through(clouds)).returncode == 0
    for url in (peer, portal):
        for name, data in cloud.objects(url).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    for batch in PLAIN.batches:
        (header, packets), (expected_header, expected) = (
            read_validation(folder, PLAIN.base(batch), PLAIN.index) for folder in (tmp_path, PLAIN.reference_output)
        )
        assert comparable(header) == comparable(expected_header)
        assert packets == expected
    (part, invalid), (expected_part, expected_invalid) = (
        read_sum(folder, PLAIN) for folder in (tmp_path, PLAIN.folder / "portal" / PLAIN.role)
    )
    assert comparable(part) == comparable(expected_part)
    assert invalid == expected_invalid
