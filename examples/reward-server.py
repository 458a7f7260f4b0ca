"""A server for the `http` reward of eam-torch, of Python's standard library alone: it scores an image by how well it
compresses, as DDPO does (arXiv 2305.13301), in kilobytes of its PNG.

    python3 examples/reward-server.py 8000

A configuration asks it with { "name": "http", "url": "http://127.0.0.1:8000/" } among its rewards. The protocol is in
docs/reward-services.md.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def score(png: bytes, prompt: str) -> float:
    """Higher is better. What it raises is the image's error: the image gets no value."""
    return -len(png) / 1024


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        results, errors = [], []
        for image, prompt in zip(asked["images"], asked["prompts"]):
            try:
                results.append(score(base64.b64decode(image), prompt))
                errors.append(None)
            except Exception as error:
                results.append(None)
                errors.append(str(error))
        answer = json.dumps({"results": results, "errors": errors}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
