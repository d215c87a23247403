"""The program that speaks S3, STS and IAM on this machine: moto's server, `python -m prio_assets.demo.s3_server PORT`.

It prints its port once it listens; port 0 is a free one. Everything is kept in memory.
"""

import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.exceptions import BadRequest
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

READING = ("GET", "HEAD")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class OneWriterAtATime:
    """An application whose requests that write are served one after the other.

    Moto looks whether an object is there and stores it in two steps, so that two threads could both create it. A
    request's body is read before its turn: a client that is slow, or gone, holds up nobody.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READING:
            return self.application(environ, start_response)
        try:
            body = get_input_stream(environ).read()
        except BadRequest as incomplete:
            return incomplete(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self.turn:
            return self.application(environ, start_response)


class QuietHandler(MotoRequestHandler):
    """A handler that does not log every request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main(port: int) -> None:
    """Serve until somebody ends us."""
    application = OneWriterAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=QuietHandler)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
