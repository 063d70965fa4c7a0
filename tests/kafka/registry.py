"""A schema registry for tests: what Confluent's answers to "under which id is this schema?".

It is a small server of our own, because no real registry comes from a package registry. It does one
call as that one's documentation has it, POST /subjects/SUBJECT, and refuses everything else. So a
client that passes here has asked correctly; it says nothing about a real registry's other ways.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"

Answer = tuple[int, dict[str, Any]]


def answer(subjects: Mapping[str, Mapping[int, str]], path: str, body: bytes) -> Answer:
    """Return status and body of the answer to a lookup.

    Args:
        subjects: The schemas of each subject, by id.
        path: Path that was posted to.
        body: What was posted.
    """
    subject = path.removeprefix("/subjects/")
    if subject == path or "/" in subject:
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
    try:
        asked = json.loads(json.loads(body)["schema"])
    except (ValueError, KeyError, TypeError):
        return 422, {"error_code": 42201, "message": "Invalid schema"}
    if subject not in subjects:
        return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
    for version, (number, text) in enumerate(subjects[subject].items(), start=1):
        if json.loads(text) == asked:
            return 200, {"subject": subject, "id": number, "version": version, "schema": text}
    return 404, {"error_code": 40403, "message": "Schema not found"}


@contextmanager
def registry(subjects: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    """Serve the schemas of each subject, by id, and give the registry's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.headers.get("Content-Type", "").split(";")[0] != CONTENT_TYPE:
                status, said = 415, {"error_code": 415, "message": "Unsupported Media Type"}
            else:
                status, said = answer(subjects, self.path, body)
            payload = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there.
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
