"""Real receivers for the tests of actions: an HTTP server that answers as scripted, and one that never answers."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edge_app.actions.rules import Occasion

PATIENCE_S = 30.0


class Receiver(ThreadingHTTPServer):
    """Answers with the codes given, then with 200; keeps what it was told."""

    daemon_threads = True

    def __init__(self, codes: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes = list(codes)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for *_, body in self.requests]

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, PATIENCE_S)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.changed:
            code = self.server.codes.pop(0) if self.server.codes else 200
            self.server.requests.append((self.command, self.path, dict(self.headers), body))
            self.server.changed.notify_all()
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def receiver(*codes: int) -> Iterator[Receiver]:
    """A server on this machine."""
    with Receiver(list(codes)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)


@contextmanager
def silent_server() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"


@contextmanager
def nobody() -> Iterator[str]:
    """A URL at which nothing listens: the port is taken by a socket that does not."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/hook"


def an_occasion(event_label: str = "Dog", onset: float = 1.0, **more: Any) -> Occasion:
    fields = {"type": "confirmed", "event_label": event_label, "onset": onset, **more}
    return Occasion(event_label, onset, fields)
