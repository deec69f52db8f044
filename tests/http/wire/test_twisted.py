"""The HTTP server compared with twisted.web's channel: each difference is listed with its reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Final

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http

from tests.http.corpus import CASES
from tests.http.corpus_cases import Seen
from tests.http.wire.test_smuggling import DoorOfTargets
from tests.http.wire_support import encode_chunks, encode_request


class Theirs(http.Request):
    """What twisted.web's channel makes of a request."""

    seen: list[Seen]

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory."""
        self.content = BytesIO()

    def process(self) -> None:
        """Note it, and answer."""
        assert self.content is not None
        self.seen.append((self.method, self.uri, self.content.read()))
        self.finish()


def by_twisted(data: bytes) -> list[Seen]:
    """The requests that twisted.web's own channel takes."""
    found: list[Seen] = []

    class Noted(Theirs):
        seen = found

    channel = http.HTTPChannel()
    channel.requestFactory = Noted
    channel.timeOut = None
    channel.makeConnection(StringTransport())
    channel.dataReceived(data)
    return found


MORE: Final = (
    (rb"\r\n0\r\n(?!\r\n)", "it does not look at trailers, nor at how the last line ends"),
    (rb"\r\n0{16}1\r\n", "it takes any number of digits for the size of a chunk; some keep 64 bits"),
    (rb"\r\n1;", "it looks for a semicolon, and not at what the extension of a chunk is"),
    (rb"\n[ \t]", "it joins lines that are folded, which RFC 9112 has servers refuse"),
    (rb"HTTP/1\.0\r\n(?s:.*)(?i:Transfer-Encoding)", "it takes codings in HTTP/1.0, which has none"),
    (rb"(?i:Transfer-Encoding: identity)", "it takes the coding identity for none, which RFC 9112 has dropped"),
    (rb"Connection: close,keep-alive", "it compares the whole value, where any member of the list may be close"),
    (rb"\ACONNECT ", "it goes on behind a CONNECT, where what comes may have been meant for the tunnel"),
    (rb"\AGET (?!/ |http://b/ )", "it takes any target, up to the next space"),
    (rb"\AGET (?:/|http://b/) HTTP/1\.1\r\n", "it does not ask for a Host field, nor looks at what it is"),
)
"""What twisted.web's channel takes and ours does not: what tells such bytes, the first of which counts, and why."""

FEWER: Final = (
    (rb"\r\n5 ; a = b", "it takes no white space before an extension, which RFC 9112 has readers bear with"),
    (rb'\r\n5;a="\\"', "it takes no quote in an extension, which RFC 9112 allows where a backslash is before it"),
)
"""What ours takes and twisted.web's does not."""


class TwistedTests(SynchronousTestCase):
    def why(self, data: bytes, differences: Sequence[tuple[bytes, str]]) -> str:
        found = [reason for form, reason in differences if re.search(form, data)]
        self.assertTrue(found, data)
        return found[0]

    def test_corpus(self) -> None:
        """Each difference has its reason, each reason a difference, and all other requests are the same."""
        more, fewer, same = set(), set(), 0
        for case in CASES:
            ours, theirs = list(DoorOfTargets().see(case.data)[0]), by_twisted(case.data)
            common = min(len(ours), len(theirs))
            self.assertEqual(ours[:common], theirs[:common], case)
            if len(theirs) > common:
                more.add(self.why(case.data, MORE))
            elif len(ours) > common:
                fewer.add(self.why(case.data, FEWER))
            else:
                same += 1
        self.assertEqual({reason for _, reason in MORE}, more)
        self.assertEqual({reason for _, reason in FEWER}, fewer)
        self.assertGreater(same, len(CASES) // 2)

    def test_good_requests(self) -> None:
        """Valid requests are read alike."""
        good = b"".join(
            [
                encode_request("GET", "/a?b=c"),
                encode_request("POST", "/", body=b"hello"),
                encode_request("POST", "/", {"Transfer-Encoding": "chunked"}, encode_chunks([b"hello"])),
                encode_request("HEAD", "/"),
            ]
        )
        self.assertEqual(list(DoorOfTargets().see(good)[0]), by_twisted(good))
        self.assertEqual(4, len(by_twisted(good)))
