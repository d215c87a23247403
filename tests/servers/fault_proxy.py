"""An HTTP server that forwards every request to another one, but does what it is told to those that match.

`python -m tests.servers.fault_proxy UPSTREAM` prints its port. It is told at `/-/faults` (a JSON list of `Fault`), and
shows what it saw at `/-/requests`; no bucket has such a name. Requests and answers are held whole.
"""

import gzip
import json
import os
import re
import select
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

S3 = "http://s3.amazonaws.com/doc/2006-03-01/"
ET.register_namespace("", S3)
CONTROL = "/-/"
LONGEST_STALL = 30
SHOWN_BYTES = 500
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "date", "server"}


@dataclass(frozen=True)
class Fault:
    """What is done to requests whose method and target (path and query) match these regular expressions.

    The first `skip` of them are forwarded untouched, the next `times` of them get the fault (-1: all).
    Actions: `answer` (status, body, without forwarding), `reset` (the connection, without forwarding), `cut_request`
    (reset after `size` bytes of its body, without forwarding), `lose` (forwarded, reset instead of the answer),
    `reset_body`, `truncate` and `stall` (after `size` bytes of the answer's body), `silence` (no answer at all), `slow`
    (in pieces of `size` bytes, `delay` seconds apart), `alter` (a bit of the body's byte at `size`), `slow_request`
    (its body is read as `slow` writes), `keep` (only the first `size` bytes of a chunk of a resumable upload are
    forwarded, as if the server kept no more), `hide` (names that match `hidden` from a listing).
    """

    action: str
    method: str = ".*"
    target: str = ""
    skip: int = 0
    times: int = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    size: int = 0
    delay: float = 0.0
    hidden: str = ""

    def matches(self, method: str, target: str) -> bool:
        return re.fullmatch(self.method, method) is not None and re.search(self.target, target) is not None


@dataclass
class Request:
    """A request as it came, what was done to it, and how its body begins."""

    method: str
    target: str
    action: str
    headers: dict[str, str]
    beginning: str = ""


@dataclass
class State:
    """The faults that are set, how many requests matched each, and all requests with what was done to them."""

    faults: list[Fault] = field(default_factory=list)
    matched: list[int] = field(default_factory=list)
    requests: list["Request"] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, faults: list[Fault]) -> None:
        with self.lock:
            self.faults, self.matched, self.requests = faults, [0] * len(faults), []

    def take(self, method: str, target: str, headers: dict[str, str]) -> tuple[Request, Fault | None]:
        """Note a request; with the first fault that it gets. It is counted at all that it matches."""
        chosen = None
        with self.lock:
            for index, fault in enumerate(self.faults):
                if fault.matches(method, target):
                    number, self.matched[index] = self.matched[index], self.matched[index] + 1
                    if number >= fault.skip and (fault.times < 0 or number < fault.skip + fault.times):
                        chosen = chosen or fault
            request = Request(method, target, chosen.action if chosen else "", headers)
            self.requests.append(request)
        return request, chosen


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.state = State()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def handle_request(self) -> None:
        if self.path.startswith(CONTROL):
            self._control()
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request, fault = self.server.state.take(self.command, self.path, headers)
        action = fault.action if fault else ""
        if fault and action == "cut_request":
            self._read(min(fault.size, self._content_length()))
            self._reset()
            return
        body = self._body() if not fault or action != "slow_request" else self._slow_body(fault)
        request.beginning = body[:SHOWN_BYTES].decode("latin-1")
        if action == "reset":
            self._reset()
        elif fault and action == "answer":
            self._deliver(Answer(fault.status, list(fault.headers.items()), fault.body.encode()), None)
        else:
            answer = self._forward(self._changed(body, fault))
            if action == "lose":
                self._reset()
            elif action == "silence":
                self._wait_until_gone()
            else:
                self._deliver(changed(answer, fault), fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815 (the names that are looked for)

    def _control(self) -> None:
        state, body = self.server.state, self._body()
        if self.command == "POST":
            state.set([Fault(**fault) for fault in json.loads(body)])
        shown = json.dumps(
            {"matched": state.matched, "requests": [vars(request) for request in state.requests]}
        ).encode()
        self._deliver(Answer(200, [("Content-Type", "application/json")], shown), None)

    def _content_length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError
        return data

    def _slow_body(self, fault: Fault) -> bytes:
        pieces, rest = [], self._content_length()
        while rest:
            time.sleep(fault.delay)
            pieces.append(self._read(min(rest, fault.size)))
            rest -= len(pieces[-1])
        return b"".join(pieces)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self._read(self._content_length())
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self._read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _changed(self, body: bytes, fault: Fault | None) -> bytes:
        """The request's body as it is forwarded."""
        if fault and fault.action == "keep":
            first = re.search(r"[0-9]+", self.headers["Content-Range"])
            assert first
            self.headers.replace_header("Content-Range", f"bytes {first[0]}-{int(first[0]) + fault.size - 1}/*")
            return body[: fault.size]
        return body

    def _forward(self, body: bytes) -> Answer:
        connection = HTTPConnection(self.server.upstream)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        answer = Answer(response.status, self._own_headers(response), response.read())
        connection.close()
        return self._with_own_address(answer)

    def _own_headers(self, response: HTTPResponse) -> list[tuple[str, str]]:
        """The answer's headers; of a HEAD request, the length that it tells."""
        hidden = HOP_BY_HOP - ({"content-length"} if self.command == "HEAD" else set())
        upstream, address = self.server.upstream, self.server.address
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in hidden]
        return [(name, value.replace(upstream, address)) for name, value in headers]

    def _with_own_address(self, answer: Answer) -> Answer:
        """Links in what the GCS server tells of objects lead here, not past us."""
        if any(name.lower() == "content-type" and "json" in value for name, value in answer.headers):
            body = unpacked(answer).body
            return Answer(
                answer.status,
                unpacked(answer).headers,
                body.replace(self.server.upstream.encode(), self.server.address.encode()),
            )
        return answer

    def _deliver(self, answer: Answer, fault: Fault | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        if not bodiless:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if not bodiless:
            self._deliver_body(answer.body, fault)

    def _deliver_body(self, body: bytes, fault: Fault | None) -> None:
        action = fault.action if fault else ""
        if fault and action in ("reset_body", "truncate", "stall"):
            self.wfile.write(body[: fault.size])
            if action == "reset_body":
                self._reset()
            elif action == "stall":
                self._wait_until_gone()
            self.close_connection = True
        elif fault and action == "slow":
            for start in range(0, len(body), fault.size):
                time.sleep(fault.delay)
                self.wfile.write(body[start : start + fault.size])
        else:
            self.wfile.write(body)

    def _wait_until_gone(self) -> None:
        """Send nothing until the other side gives up."""
        self.close_connection = True
        select.select([self.connection], [], [], LONGEST_STALL)

    def _reset(self) -> None:
        """End the connection as a failing network does, rather than in an orderly way."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def changed(answer: Answer, fault: Fault | None) -> Answer:
    """The answer with a wrong byte, or without some of the names that it lists."""
    if fault and fault.action == "alter" and answer.body:
        body = bytearray(answer.body)
        body[fault.size] ^= 1
        return Answer(answer.status, answer.headers, bytes(body))
    if fault and fault.action == "hide":
        answer = unpacked(answer)
        hide = hide_in_json if answer.body.lstrip().startswith(b"{") else hide_in_xml
        return Answer(answer.status, answer.headers, hide(answer.body, re.compile(fault.hidden)))
    return answer


def unpacked(answer: Answer) -> Answer:
    """The answer without a compression."""
    if not any(name.lower() == "content-encoding" and value == "gzip" for name, value in answer.headers):
        return answer
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-encoding"]
    return Answer(answer.status, headers, gzip.decompress(answer.body))


def hide_in_json(body: bytes, hidden: re.Pattern[str]) -> bytes:
    listing = json.loads(body)
    listing["items"] = [item for item in listing.get("items", []) if not hidden.search(item["name"])]
    return json.dumps(listing).encode()


def hide_in_xml(body: bytes, hidden: re.Pattern[str]) -> bytes:
    listing = ET.fromstring(body)
    for contents in listing.findall(f"{{{S3}}}Contents"):
        if hidden.search(unquote(contents.findtext(f"{{{S3}}}Key", ""))):
            listing.remove(contents)
    count = listing.find(f"{{{S3}}}KeyCount")
    if count is not None:
        count.text = str(len(listing.findall(f"{{{S3}}}Contents")))
    return ET.tostring(listing, "utf-8", xml_declaration=True)


if __name__ == "__main__":
    proxy = Proxy(sys.argv[1])
    print(proxy.server_port, flush=True)
    proxy.serve_forever()
