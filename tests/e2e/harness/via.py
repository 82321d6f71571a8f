"""Connections from another address: on one machine all clients have the same, and balancers may look at it."""

import contextlib
import socket
import threading

from .process import free_port


class Via:
    """Passes connections on to 127.0.0.1:`port`, coming from `source`, an address of this machine."""

    def __init__(self, source, port):
        own = free_port()
        self.address = f"tcp://127.0.0.1:{own}"
        self._source = source
        self._port = port
        self._server = socket.create_server(("127.0.0.1", own))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._server.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client):
        with client, contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self._port), source_address=(self._source, 0)) as there:
                back = threading.Thread(target=_copy, args=(there, client), daemon=True)
                back.start()
                _copy(client, there)
                back.join()


def _copy(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
