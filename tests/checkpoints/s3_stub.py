"""A server that speaks as much of S3 as a store needs, in the test's process, and misbehaves when told to.

Objects in a dictionary, one bucket's worth. What real servers do is tried against moto where it is installed.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

Fault = Literal["", "answers 500", "answers 503 once", "hangs", "loses answers", "ignores conditions", "denies"]


class Stub:
    """What the server has, and how it behaves."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.fault: Fault = ""
        self.requests = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        """Ends what hangs."""
        self.endpoint = ""


@contextmanager
def s3_stub() -> Iterator[Stub]:
    """A running server; requests that hang are let go at the end."""
    stub = Stub()
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = _Server(("127.0.0.1", 0), handler)
    stub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed, or that gave up."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def do_PUT(self) -> None:
        self._serve()

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        body = self._body()
        with self.stub.lock:
            self.stub.requests += 1
            fault = self.stub.fault
            if fault == "answers 503 once":
                self.stub.fault = ""
        if fault == "hangs":
            self.stub.over.wait(60)
            self.close_connection = True
        elif fault in ("answers 500", "answers 503 once"):
            self._answer(int(fault.split()[1]), b"<Error><Code>InternalError</Code></Error>")
        elif fault == "denies":
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        else:
            with self.stub.lock:
                status, content, headers = self._do(body)
            if fault == "loses answers" and self.command in ("PUT", "POST"):
                self.close_connection = True
                self.connection.shutdown(2)
            else:
                self._answer(status, content, headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _do(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        key = unquote(parts.path).partition("/")[2].partition("/")[2]
        match self.command:
            case "PUT" if "partNumber" in query:
                self.stub.parts[query["uploadId"]][int(query["partNumber"])] = body
                return 200, b"", {"ETag": _tag(body)}
            case "PUT":
                return self._put(key, body)
            case "POST" if "uploads" in query:
                upload = f"upload-{len(self.stub.parts)}"
                self.stub.parts[upload] = {}
                return 200, f"<R><UploadId>{upload}</UploadId></R>".encode(), {}
            case "POST" if "delete" in query:
                doomed = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for found in doomed:
                    self.stub.objects.pop(unescape(found), None)
                told = "".join(f"<Deleted><Key>{found}</Key></Deleted>" for found in doomed)
                return 200, f"<DeleteResult>{told}</DeleteResult>".encode(), {}
            case "POST":
                given = self.stub.parts.pop(query["uploadId"])
                self.stub.objects[key] = b"".join(given[number] for number in sorted(given))
                return 200, b"<R><ETag>x</ETag></R>", {"ETag": '"x"'}
            case "GET" if "list-type" in query:
                return 200, self._list(query["prefix"]), {}
            case "GET" | "HEAD":
                return self._get(key)
        return 501, b"", {}

    def _put(self, key: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        once = self.headers.get("If-None-Match") == "*" and self.stub.fault != "ignores conditions"
        if once and key in self.stub.objects:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
        self.stub.objects[key] = body
        return 200, b"", {"ETag": _tag(body)}

    def _list(self, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>x</ETag><Size>{len(data)}</Size></Contents>"
            for key, data in sorted(self.stub.objects.items()) if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

    def _get(self, key: str) -> tuple[int, bytes, dict[str, str]]:
        if key not in self.stub.objects:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
        data = self.stub.objects[key]
        headers = {"ETag": _tag(data), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if self.command == "HEAD":
            return 200, b"", {**headers, "Content-Length": str(len(data))}
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or ""):
            first, last = int(found[1]), min(int(found[2]), len(data) - 1)
            return 206, data[first : last + 1], {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return 200, data, headers


def _tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'
