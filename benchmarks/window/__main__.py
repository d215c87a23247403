"""`python -m benchmarks.window`: measure the window, print where its seconds go, and write all figures as JSON."""

import argparse
import json
from pathlib import Path

from benchmarks.window.batches import Size
from benchmarks.window.measure import measure
from benchmarks.window.report import figures, lines

SIZES = {"small": Size(batches=4, packets=200, bins=16), "full": Size(batches=50, packets=20_000, bins=256)}
DIRECTORY = Path(".bench")


def main() -> None:
    """Measure one size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.window", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="full needs 8 GB on the disk")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where data and figures go (%(default)s)")
    given = parser.parse_args()
    given.directory.mkdir(exist_ok=True)
    found = figures(measure(given.directory / "window", SIZES[given.size], print))
    path = given.directory / f"window-{given.size}.json"
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    for line in ["", *lines(found), "", f"All figures: {path}"]:
        print(line)


if __name__ == "__main__":
    main()
