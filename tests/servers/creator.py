"""Creates objects as it is told: `python -m tests.servers.creator URL ENDPOINT TEXT`.

For each name that it reads it writes whether the object was created, with TEXT as its content.
"""

import sys

from prio_assets.storage.access import Access
from prio_assets.storage.urls import open_store

if __name__ == "__main__":
    url, endpoint, text = sys.argv[1:]
    store = open_store(url, Access(endpoint=endpoint or None))
    print(list(store.list("")), flush=True)  # connected
    for line in sys.stdin:
        print(store.create(line.strip(), text.encode()), flush=True)
