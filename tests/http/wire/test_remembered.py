"""A server that remembers heads compared with one that parses each: the answers are the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import tried
from tests.http import garbage
from tests.http.corpus import CASES
from tests.http.remembering import (
    LARGE,
    LATER,
    PIECES,
    Step,
    advance,
    answer,
    differences,
    drain,
    hang_up,
    played,
    send,
    take,
    tighten,
)
from tests.http.wire.test_fuzz import FRAGMENTS
from tests.http.wire.test_llhttp import REQUESTS
from tests.http.wire.test_smuggling import NEXT, SPLINTERS
from tests.http.wire_support import LIMITS, encode_chunks, encode_request

EXPECTS = {"Expect": "100-continue", "Content-Length": "5"}
TRAILER = encode_chunks([b"hello"])[:-2] + b"A: b\r\n\r\n"
PATHS = (*(path.decode("ascii") for path in (LATER, PIECES, LARGE)), "/now")
WHOLE = (
    *(encode_request("GET", path) for path in PATHS),
    *(encode_request("POST", path, body=b"hello") for path in PATHS),
    *(encode_request("POST", path, {"Transfer-Encoding": "chunked"}, TRAILER) for path in PATHS),
    *(encode_request("PUT", path, EXPECTS, b"hello") for path in PATHS),
    *(encode_request("PUT", path, EXPECTS) for path in PATHS),
    *(encode_request("POST", path, body=b"x" * (LIMITS.max_body + 1)) for path in PATHS),
    encode_request("HEAD", "/now"),
    encode_request("HEAD", "/large"),
    encode_request("QUEUE", "/now"),
    encode_request("GET", "/now", {"Connection": "close"}),
    encode_request("GET", "/now", {"Connection": "upgrade", "Upgrade": "h2c"}),
    encode_request("CONNECT", "a:80", {"Host": "a:80"}),
    encode_request("OPTIONS", "*"),
    encode_request("GET", "http://b:1/now?a#b"),
    encode_request("GET", "/now", [("A", "b"), ("a", "c\t"), ("A", "")]),
    encode_request("GET", "/now", [(f"X-{number}", "y") for number in range(101)]),
    encode_request("GET", "/now", {"X": "y" * 70_000}),
    encode_request("GET", "/now").replace(b"1.1", b"1.0"),
    encode_request("POST", "/now", {"Connection": "keep-alive"}, b"hello").replace(b"1.1", b"1.0"),
)
PIECE = st.one_of(
    st.sampled_from(WHOLE),
    REQUESTS,
    st.sampled_from([case.data for case in CASES]),
    st.sampled_from(FRAGMENTS),
    garbage.REQUESTS.map(lambda request: request.encoded()),
)


KINDS = st.sampled_from(["whole", "whole", "prefix", "behind", "behind", "cut", "damaged", "time", "other"])


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Requests good and bad, of which some come again and again, with other bytes behind them, or not to their end."""
    pieces = draw(st.lists(PIECE, min_size=1, max_size=3))
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 9))):
        data = draw(st.sampled_from(pieces))
        kind = draw(KINDS)
        if kind == "prefix":
            data = data[: draw(st.integers(0, len(data)))]
        elif kind == "behind":
            data += draw(st.sampled_from(pieces))
        elif kind == "damaged":
            at = draw(st.integers(0, min(len(data), 300)))
            data = data[:at] + draw(SPLINTERS) + data[at + draw(st.integers(0, 2)) :]
        if kind == "time":
            steps.append(advance(draw(st.sampled_from([0.5, 3.0, 11.0, 61.0, 76.0]))))
        elif kind == "other":
            steps.append(draw(st.sampled_from([answer, answer, answer, take, take, tighten, drain, hang_up])))
        elif kind == "cut":
            places = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=3))})
            steps += [send(data[start:stop]) for start, stop in pairwise(places)]
        elif data:
            steps.append(send(data))
    return steps


class SameAnswersTests(SynchronousTestCase):
    def check(self, script: Sequence[Step], what: object, *, greedy: bool = True) -> None:
        sides = played(script, greedy=greedy)
        self.assertEqual([], list(differences(sides)), what)

    def test_corpus(self) -> None:
        """Each case alone, twice, twice in one piece, again with another behind it or not to its end, and cut."""
        random = Random(1)
        for number, case in enumerate(CASES):
            data = case.data
            head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            first, second = sorted(random.randrange(len(data)) for _ in "12")
            for script in (
                [send(data), send(NEXT), advance(80)],
                [send(data), send(data)],
                [send(data + data + NEXT)],
                [send(NEXT), send(data), send(head + NEXT)],
                [send(data), send(data[:second]), advance(11)],
                [send(data[:first]), send(data[first:second]), send(data[second:]), send(data)],
            ):
                self.check(script, (number, case))
        self.assertEqual([], self.flushLoggedErrors())

    def test_whole_requests(self) -> None:
        """Each of the good ones, again and again, with time between them; some take their answers late."""
        for data in WHOLE:
            for script in (
                [send(data), answer, send(data), answer, send(data + data), answer, answer, advance(80)],
                [send(data), advance(61), send(data), answer],
                [send(data), drain, send(data), answer, advance(3)],
                [send(data), answer, tighten, send(data), answer],
                [send(data[:30]), advance(11)],
                [send(data), answer, send(data), advance(80), answer, send(data)],
                [send(data), hang_up],
                [send(data), answer, send(b"\r\n"), send(data), answer, send(b"\r\n" + data), answer],
                [send(data[: data.index(b"\r\n\r\n") + 4]), send(b"hel"), advance(61)],
            ):
                self.check(script, data[:200])
                self.check([each for step in script for each in (step, take)], data[:200], greedy=False)

    def test_a_body_after_none(self) -> None:
        """A handler that reads bodies in pieces is asked for the first body, also if the requests before had none."""
        empty, other, full = (
            encode_request("POST", "/pieces", {"X-Request-Id": number}, body)
            for number, body in (("1", b""), ("2", b""), ("3", b"hello"))
        )
        for script in ([send(full)], [send(full[:-2]), send(full[-2:])], [send(full + empty)]):
            self.check([send(empty), send(other), *script, send(other), send(full)], script)

    def test_heads_are_remembered(self) -> None:
        """On the one side alone, so that what is remembered is held against what is read."""
        for data in WHOLE[4:8]:
            one, other = played([send(data), answer, send(data), answer, send(data + data), answer, answer])
            self.assertEqual((4, 1), (len(one.heads), len(set(one.heads))), data)
            self.assertEqual((4, 4), (len(other.heads), len(set(other.heads))), data)

    @settings(max_examples=tried(400, 20_000))
    @given(scripts(), st.booleans())
    def test_scripts(self, script: list[Step], greedy: bool) -> None:
        """Anything."""
        self.check(script, None, greedy=greedy)
        self.assertEqual([], self.flushLoggedErrors())

    def test_a_difference_is_noticed(self) -> None:
        """One byte more, or one request less, would be."""
        one, _ = played([send(NEXT)])
        for script in ([send(NEXT + NEXT)], [send(NEXT[:-1])], [send(NEXT.replace(b"next", b"text"))], [hang_up]):
            _, other = played(script)
            self.assertNotEqual([], list(differences((one, other))))
