"""A relay before a server that counts what passes, and delays each round trip as a distant server would.

A script by itself: `relay.py HOST PORT SECONDS` prints its own port, then for each line that it reads what was counted
since the last one, as JSON; it ends with its input.

A *round trip* begins when a client speaks again after the server has: a request is one, and the body of an upload that
waits for the server's leave (`Expect: 100-continue`) is one more.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field

_REQUEST = re.compile(rb"(DELETE|GET|HEAD|PATCH|POST|PUT) (\S+) HTTP/1.1\r\n")
_LISTING = re.compile(rb"[?&]list-type=2|/o\?(?!.*alt=media)")
_PIECE_BYTES = 1 << 16


@dataclass
class Counted:
    """What passed; `sent` and `received` are bytes, as the client sees them."""

    requests: dict[str, int] = field(default_factory=dict)
    """By method, and `LIST` for those that read a page of names."""
    round_trips: int = 0
    sent: int = 0
    received: int = 0


class Relay:
    """Connections of clients, each with one of its own to the server."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._server = host, port
        self._delay = delay
        self._counted = Counted()

    def take(self) -> Counted:
        """What was counted since the last call."""
        counted, self._counted = self._counted, Counted()
        return counted

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        from_server, to_server = await asyncio.open_connection(*self._server)
        connection = _Connection()
        await asyncio.gather(
            self._to_server(connection, reader, to_server), self._to_client(connection, from_server, writer)
        )

    async def _to_server(
        self, connection: "_Connection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for piece in _pieces(reader, writer):
            self._counted.sent += len(piece)
            if not connection.is_client_speaking:
                connection.is_client_speaking = True
                self._count_round_trip(piece)
                await asyncio.sleep(self._delay)
            writer.write(piece)

    async def _to_client(
        self, connection: "_Connection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for piece in _pieces(reader, writer):
            self._counted.received += len(piece)
            connection.is_client_speaking = False
            writer.write(piece)

    def _count_round_trip(self, piece: bytes) -> None:
        self._counted.round_trips += 1
        request = _REQUEST.match(piece)
        if request is not None:
            method, target = request.groups()
            kind = "LIST" if method == b"GET" and _LISTING.search(target) else method.decode()
            self._counted.requests[kind] = self._counted.requests.get(kind, 0) + 1


@dataclass
class _Connection:
    is_client_speaking: bool = False


async def _pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    """What arrives, until it ends; then the other side ends, too."""
    try:
        while piece := await reader.read(_PIECE_BYTES):
            yield piece
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _run(host: str, port: int, delay: float) -> None:
    relay = Relay(host, port, delay)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(asdict(relay.take())), flush=True)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
