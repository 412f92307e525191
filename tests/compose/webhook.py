"""A receiver of webhooks: keeps what is posted, in memory, and gives all of it as one JSON list to whoever asks."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

PORT = 8080


class Receiver(BaseHTTPRequestHandler):
    """POST keeps a JSON message with the path that it came to; GET lists the messages in the order they came."""

    kept: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        """Keep a message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept.append({"path": self.path, "message": json.loads(body)})
        self._answer(b"")

    def do_GET(self) -> None:
        """Give what was kept."""
        self._answer(json.dumps(self.kept).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Receiver).serve_forever()
