"""Google's token services and a listing of Google Cloud Storage, under their own names, behind an HTTPS proxy.

`python -m tests.servers.google_server CERTIFICATE KEY` prints its port. It answers who shows the token of the step
before, and what was asked with which one is at `/-/requests`.
"""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

SUBJECT_TOKEN = "token-of-the-machine"
REFUSED = "refused@project.iam.gserviceaccount.com"


class Handler(BaseHTTPRequestHandler):
    """One connection: to the proxy, and after CONNECT to whichever of Google's servers was named."""

    protocol_version = "HTTP/1.1"
    context: ClassVar[ssl.SSLContext]
    seen: ClassVar[list[list[str]]] = []

    def do_CONNECT(self) -> None:
        """Be the server that is asked for."""
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_POST(self) -> None:
        """Give out a token."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        shown = self._note()
        if self.headers["Host"] == "sts.googleapis.com":
            subject = parse_qs(body.decode())["subject_token"]
            token = {"access_token": "federated", "token_type": "Bearer", "expires_in": 3600}
            token["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
            self._answer(200, token) if subject == [SUBJECT_TOKEN] else self._answer(400, {"error": "invalid_grant"})
        elif shown == "Bearer federated" and REFUSED not in self.path:
            account = self.path.rpartition("/")[2].partition(":")[0]
            self._answer(200, {"accessToken": f"token-of-{account}", "expireTime": "2099-01-01T00:00:00Z"})
        else:
            self._answer(403, {"error": {"code": 403, "message": "iam.serviceAccounts.getAccessToken denied"}})

    def do_GET(self) -> None:
        """List a bucket with one object, or show what was asked."""
        if self.path == "/-/requests":
            self._answer(200, self.seen)
            self.seen.clear()
            return
        self._note()
        self._answer(200, {"items": [{"name": "name", "size": "4"}]})

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def _note(self) -> str:
        shown = self.headers.get("Authorization", "")
        self.seen.append([self.headers["Host"], shown])
        return shown

    def _answer(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until terminated."""
    Handler.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Handler.context.load_cert_chain(*sys.argv[1:3])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
