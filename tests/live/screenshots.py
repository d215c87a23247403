"""The pictures of docs/images, taken of a demo's UI: `python -m tests.live.screenshots DEMO IMAGES`."""

import sys
from pathlib import Path

from tests.live.browser import dagster_ui
from tests.live.demo_facts import DemoFacts
from tests.live.serving import serve_ui


def take(address: str, demo: DemoFacts, images: Path) -> None:
    """Write all pictures."""
    first, second = demo.windows
    with dagster_ui(address, width=1500, height=640) as ui:
        ui.open_graph()
        ui.picture(images / "asset-graph.png")
    with dagster_ui(address, width=1500, height=1250) as ui:
        ui.open_partition("pha/own_validations", demo.partition("phone-use", second), str(demo.forged))
        ui.picture(images / "rejected-batch.png")
        ui.open_partition("portal/demo/aggregates", demo.partition("commute", first), "bicycle")
        ui.picture(images / "statistic.png")
    with dagster_ui(address, width=1500, height=760) as ui:
        ui.open("/assets/pha/own_validations?view=checks", "batches_accepted")
        ui.picture(images / "checks.png")


if __name__ == "__main__":
    with serve_ui(Path.cwd(), Path(sys.argv[1])) as its_address:
        take(its_address, DemoFacts(Path(sys.argv[1])), Path(sys.argv[2]))
