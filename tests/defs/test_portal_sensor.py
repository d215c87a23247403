"""The portal's sensor over sum parts whose names it cannot trust."""

import pytest

from tests.defs.daemon import Daemon

WINDOW, PARTITION = "202305010000-202305010800", "kittens-seen|2023-05-01-00:00"
CHECK = "portal/instance/pha_sum_parts windows_fit"


@pytest.mark.parametrize("misnamed", ["202305010100-202305010900", "202305010000-202305010100"], ids=["start", "end"])
def test_a_pair_of_parts_of_no_window_costs_no_other_its_statistic(daemon: Daemon, misnamed: str) -> None:
    for index, role in enumerate(("pha", "facilitator")):
        folder = daemon.deployment.storage(f"portal/{role}") / "instance" / "kittens-seen"
        folder.mkdir(parents=True)
        for window in (misnamed, WINDOW):
            for name in (f"{window}.sum_{index}", f"{window}.invalid_uuid_{index}.avro", f"{window}.sum_{index}.sig"):
                (folder / name).write_bytes(b"a part")
    daemon.instance.add_dynamic_partitions("instance", ["kittens-seen"])
    tick = daemon.tick("portal", "portal_runs")
    assert [request.partition_key for request in tick.requests] == [PARTITION]
    assert daemon.failed_findings()[CHECK].startswith(f"instance/kittens-seen/{misnamed}.sum_0: ")
