"""Answers that came over a connection, parsed and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import attrs


class BadAnswer(AssertionError):
    """What was answered is not HTTP, or not what this project answers."""


@attrs.frozen
class Response:
    """One answer; the names of its header fields are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a field that stands there at most once."""
        values = self.all(name)
        if len(values) > 1:
            raise BadAnswer(f"{name} stands {len(values)} times in {self}")
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """The values of a field."""
        return [value for other, value in self.headers if other == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """What an error in the shape of the first API says, by name."""
        document = self.json
        if set(document) != {"status", "error_msg"} or document["status"] != "error" or not document["error_msg"]:
            raise BadAnswer(f"not an error: {document}")
        messages: dict[str, str] = document["error_msg"]
        return messages

    @property
    def closes(self) -> bool:
        return self.header("connection") == "close"


class _Answers:
    """Reads answers off a stream of bytes."""

    STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [\t\x20-\x7e]*")
    FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|)")

    def __init__(self, data: bytes, closed: bool) -> None:
        self.data = data
        self.closed = closed

    def line(self) -> bytes:
        line, end, self.data = self.data.partition(b"\r\n")
        if not end or b"\r" in line or b"\n" in line:
            raise BadAnswer(f"a line has no end: {line[:200]!r}")
        return line

    def take(self, size: int) -> bytes:
        if len(self.data) < size:
            raise BadAnswer(f"{size - len(self.data)} bytes of the body are missing")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def next(self, method: str) -> Response:
        match = self.STATUS_LINE.fullmatch(line := self.line())
        if match is None:
            raise BadAnswer(f"not a status line: {line!r}")
        status = int(match[1])
        fields = []
        while line := self.line():
            match = self.FIELD.fullmatch(line)
            if match is None:
                raise BadAnswer(f"not a header field: {line!r}")
            fields.append((match[1].decode("ascii").lower(), match[2].decode("ascii")))
        response = Response(status, tuple(fields), b"")
        if method == "HEAD" or status in (204, 304) or status < 200:
            return response
        return attrs.evolve(response, body=self.body(response))

    def body(self, response: Response) -> bytes:
        length, coding = response.header("content-length"), response.header("transfer-encoding")
        if length is not None and coding is not None:
            raise BadAnswer("Content-Length and Transfer-Encoding in one answer")
        if length is not None:
            if not re.fullmatch("0|[1-9][0-9]*", length):
                raise BadAnswer(f"Content-Length: {length}")
            return self.take(int(length))
        if coding is not None:
            if coding != "chunked":
                raise BadAnswer(f"Transfer-Encoding: {coding}")
            return self.chunks()
        if not response.closes or not self.closed:
            raise BadAnswer("the length of the body is not told, and the connection is not closed")
        return self.take(len(self.data))

    def chunks(self) -> bytes:
        body = b""
        while True:
            line = self.line()
            if not re.fullmatch(rb"0|[1-9a-f][0-9a-f]*", line):
                raise BadAnswer(f"not the size of a chunk: {line!r}")
            body += self.take(int(line, 16))
            if self.line():
                raise BadAnswer("a chunk is longer than its size, or a trailer follows")
            if line == b"0":
                return body


def check_fields(response: Response) -> None:
    """Every final answer has a date, an id, and nothing that tells versions."""
    if response.header("date") is None or response.header("x-request-id") is None:
        raise BadAnswer(f"no Date or no X-Request-Id in {response.headers}")
    if re.search("twisted|klein|python|werkzeug", response.header("server") or "", re.IGNORECASE):
        raise BadAnswer(f"Server: {response.header('server')}")


def check_json(response: Response) -> None:
    """Every body is JSON in ASCII, and says so."""
    kind = response.header("content-type")
    if kind not in (None, "application/json", "application/problem+json", "application/x-amz-json-1.0"):
        raise BadAnswer(f"Content-Type: {kind}")
    if response.body:
        if kind is None:
            raise BadAnswer("a body without a type")
        try:
            json.loads(response.body.decode("ascii"))
        except ValueError:
            raise BadAnswer(f"a body that is not JSON in ASCII: {response.body[:200]!r}") from None


def parse_responses(
    data: bytes, methods: Sequence[str] = (), *, closed: bool = False, only_json: bool = True
) -> list[Response]:
    """Take what a server sent apart.

    :param methods: of the requests, in their order; GET for those that are not named.
    :param closed: whether the server has closed its side, which may be how the last body ends.
    :param only_json: whether bodies of other types are errors.
    """
    answers = _Answers(data, closed)
    responses: list[Response] = []
    left = iter(methods)
    method = next(left, "GET")
    while answers.data:
        response = answers.next(method)
        responses.append(response)
        if response.status >= 200:
            method = next(left, "GET")
            check_fields(response)
            if only_json:
                check_json(response)
    return responses
