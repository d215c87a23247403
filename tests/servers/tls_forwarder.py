"""A port that takes TLS and passes the bytes on to another one without: `python -m tests.servers.tls_forwarder`.

Its arguments are the files of a certificate and its key, and the port. It prints its own port.
"""

import select
import socket
import ssl
import sys
from contextlib import suppress
from threading import Thread


def serve(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Pass on what comes from either side, until one of them ends."""
    with (
        suppress(OSError),
        context.wrap_socket(plain, server_side=True) as client,
        socket.create_connection(("127.0.0.1", port)) as server,
    ):
        other = {client: server, server: client}
        while True:
            # What TLS has decrypted already is not seen by select.
            ready = [client] if client.pending() else select.select([client, server], [], [])[0]
            for source in ready:
                data = source.recv(1 << 16)
                if not data:
                    return
                other[source].sendall(data)


if __name__ == "__main__":
    certificate, key, port = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        Thread(target=serve, args=(connection, context, int(port)), daemon=True).start()
