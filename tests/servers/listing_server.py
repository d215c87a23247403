"""A server of both clouds' listings, of a bucket with a million objects that it computes as they are asked for.

`python -m tests.servers.listing_server` prints its port. `/-/requests` tells how many listings were asked for.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID
from xml.sax.saxutils import escape

OBJECTS = 1_000_000
PAGE = 1000
AGGREGATION = "com.example.Million-v1"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
BATCHES_A_MINUTE = 2
SUFFIXES = (".batch", ".batch.avro", ".batch.sig")
OBJECTS_A_DAY = 24 * 60 * BATCHES_A_MINUTE * len(SUFFIXES)
LATER_FOLDERS = ("com.example.Other-v1/", "prio-assets/")
"""What stands behind the million: one object in each."""

AFTER_ALL_NAMES = chr(0x10FFFF)


def name_of(number: int) -> str:
    """The object's name; they are in order."""
    if number >= OBJECTS:
        return f"{LATER_FOLDERS[number - OBJECTS]}object"
    batch, suffix = divmod(number, len(SUFFIXES))
    minute, place = divmod(batch, BATCHES_A_MINUTE)
    uuid = UUID(int=(place << 120) | (0x9E3779B97F4A7C15 * batch) % (1 << 64))
    return f"{AGGREGATION}/{FIRST + timedelta(minutes=minute):%Y/%m/%d/%H/%M}/{uuid}{SUFFIXES[suffix]}"


ALL = range(OBJECTS + len(LATER_FOLDERS))


def position(name: str) -> int:
    """Of the first object that isn't before `name`."""
    return bisect_left(ALL, name, key=name_of)


def entries(prefix: str, first: str, delimiter: str) -> Iterator[str]:
    """Names from `first` on that begin with the prefix, or what they have in common up to the delimiter."""
    number = position(max(first, prefix))
    while number < len(ALL):
        name = name_of(number)
        if not name.startswith(prefix):
            return
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            yield name
            number += 1
        else:
            yield name[: end + 1]
            number = position(name[: end + 1] + AFTER_ALL_NAMES)


def page(prefix: str, first: str, end: str | None, delimiter: str) -> tuple[list[str], str | None]:
    """Up to 1000 entries, and the first one of the next page."""
    found: list[str] = []
    for entry in entries(prefix, first, delimiter):
        if end is not None and entry >= end:
            break
        if len(found) == PAGE:
            return found, entry
        found.append(entry)
    return found, None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    listings = 0

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        if target.path == "/-/requests":
            self._answer("application/json", json.dumps(Handler.listings).encode())
            return
        Handler.listings += 1
        if "list-type" in query:
            self._answer("application/xml", s3_page(query).encode())
        else:
            self._answer("application/json", json.dumps(gcs_page(query)).encode())

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def s3_page(query: dict[str, str]) -> str:
    """ListObjectsV2: `start-after` is exclusive, a continuation token goes before it."""
    after = query.get("start-after", "")
    first = query.get("continuation-token") or (after + "\0" if after else "")
    names, following = page(query.get("prefix", ""), first, None, query.get("delimiter", ""))
    encode = quote if query.get("encoding-type") == "url" else escape
    objects = "".join(
        f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>"
        if name.endswith("/")
        else f"<Contents><Key>{encode(name)}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;e&quot;</ETag><Size>{len(name)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for name in names
    )
    token = f"<NextContinuationToken>{escape(following)}</NextContinuationToken>" if following else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>million</Name><KeyCount>{len(names)}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{'true' if following else 'false'}</IsTruncated>"
        f"{token}{objects}</ListBucketResult>"
    )


def gcs_page(query: dict[str, str]) -> dict[str, Any]:
    """objects.list of the JSON API: [startOffset, endOffset)."""
    first = query.get("pageToken") or query.get("startOffset", "")
    names, following = page(query.get("prefix", ""), first, query.get("endOffset"), query.get("delimiter", ""))
    listing: dict[str, Any] = {
        "kind": "storage#objects",
        "items": [{"name": name, "size": str(len(name))} for name in names if not name.endswith("/")],
        "prefixes": [name for name in names if name.endswith("/")],
    }
    return listing | ({"nextPageToken": following} if following else {})


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
