"""Google Cloud Storage on this machine: fake-gcs-server, `python -m prio_assets.demo.gcs_server DIRECTORY PORT`.

It prints its port once it listens; port 0 is a free one. Buckets are folders of the directory.
"""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from prio_assets.demo.emulators import run_gcs


def main(directory: Path, port: int) -> None:
    """Serve until somebody ends us."""
    with suppress(KeyboardInterrupt), run_gcs(directory, port) as server:
        print(urlsplit(server.endpoint).port, flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
