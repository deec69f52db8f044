"""How many functions a request calls: a layer that somebody adds to the way of every request shows here.

These are counts, and the same on every machine; the bounds leave room for what a change may need, and not for a habit.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Sequence
from cProfile import Profile
from pathlib import Path
from types import CodeType

from twisted.trial.unittest import SynchronousTestCase

from bench.calls import (
    BATCH,
    BATCHES,
    DEFERREDS,
    GROUP,
    OTHER,
    PAGES,
    POSTS,
    Calls,
    Daemon,
    counted,
    counted_claims,
    part,
)
from bench.servers import request
from queuey.deferreds import CoroutineRunner, ShieldedWrite
from queuey.http.requests.request import Request
from queuey.http.v1 import representations
from queuey.model.messages.message import Address

FUSED = b'{"settle":{"ack":["no receipt"]}}'


def _of_queuey(code: CodeType | str) -> bool:
    """Tell whether a function is ours, and not of the bench, Twisted or Python."""
    return isinstance(code, CodeType) and part(code.co_filename, code.co_name) not in (DEFERREDS, OTHER)


class CallsTests(SynchronousTestCase):
    """A daemon in this process answers requests like those of ``bench.calls``."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="queuey-test-")
        self.addCleanup(folder.cleanup)
        self.daemon = Daemon(Path(folder.name))
        self.addCleanup(self.daemon.close)

    def check(self, calls: Calls, most: int, answer: int) -> None:
        """No more than so many calls, of which the answer and its line in the log have so many."""
        self.assertLessEqual(calls.all, most, calls.parts)
        self.assertLessEqual(calls.parts["the answer"], answer, calls.parts)
        self.assertLessEqual(calls.parts["the log"], 10, calls.parts)
        # Were nothing counted, anything would be little.
        self.assertGreater(calls.all, 50)

    def test_posts(self) -> None:
        for api, most, answer in (("v1", 133, 23), ("v2", 137, 23)):
            self.check(counted(self.daemon, 3, POSTS[api]), most, answer)

    def test_claims(self) -> None:
        """All that a claim and a settlement take besides the work on the state of the group."""
        bounds = zip(counted_claims(self.daemon, 3).items(), ((190, 34), (190, 20), (260, 34)), strict=True)
        for (way, calls), (most, answer) in bounds:
            parts = {name: number for name, number in calls.parts.items() if name != "commands of groups"}
            self.assertLess(len(parts), len(calls.parts), way)
            self.check(Calls(parts), most, answer)

    def test_a_claim_that_waits(self) -> None:
        """All that it takes to store a message and hand it to a claim that waits for it, both answers included."""
        counted_claims(self.daemon, 1)
        (worker, answered), (poster, posted) = self.daemon.connect(), self.daemon.connect()
        claim = request("POST", f"{GROUP}/claims", b'{"limit":1,"wait":20}', Content_Type="application/json")
        post = request("POST", "/v2/bench/queues/jobs/messages", b"x" * 140, Content_Type="text/plain")
        profile = Profile()
        for each in range(5):
            worker.dataReceived(claim)
            for _ in range(3):
                self.daemon.turn()
            self.assertEqual(answered.sent, [])
            if each > 1:
                profile.enable()
            poster.dataReceived(post)
            for _ in range(3):
                self.daemon.turn()
            profile.disable()
            for sent, status in ((posted.sent, b"201"), (answered.sent, b"200")):
                self.assertTrue(b"".join(sent).startswith(b"HTTP/1.1 " + status), sent)
                sent.clear()
        calls = sum([entry.callcount for entry in profile.getstats() if _of_queuey(entry.code)]) / 3
        self.assertLess(calls, 420)
        self.assertGreater(calls, 100)

    def test_batches(self) -> None:
        """For a message, with its part of what is called for all of them; a value for each would be one call more."""
        for way, asked in BATCHES.items():
            calls = counted(self.daemon, 2, asked)
            self.assertLess(calls.all / BATCH, 11.5 if way == "a stream" else 4.2, calls.parts)
            self.assertGreater(calls.all / BATCH, 2)

    def test_pages(self) -> None:
        self.check(counted(self.daemon, 3, PAGES["v1"]), 225, 36)

    def test_counts_do_not_depend_on_how_often(self) -> None:
        """What is counted is calls for each request."""
        few, many = (counted(self.daemon, rounds, POSTS["v1"]).all for rounds in (2, 6))
        self.assertLess(abs(few - many), 3)

    def test_garbage(self) -> None:
        """Nothing of a request that is over keeps itself: what only the collector finds is in the way until it does."""
        counted_claims(self.daemon, 1)
        claims = [request("POST", f"{GROUP}/claims", body, Content_Type="application/json") for body in (b"{}", FUSED)]
        for asked in (*POSTS.values(), *PAGES.values(), *claims):
            self.daemon.ask(1, asked)
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            channel, _ = self.daemon.connect()
            for _ in range(3):
                channel.dataReceived(asked)
                self.daemon.turn()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                gc.collect()
                left = [found for found in gc.garbage if isinstance(found, Request | ShieldedWrite | CoroutineRunner)]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
            self.assertEqual(left, [])

    def test_a_layer_more(self) -> None:
        """One call more for each request is one call more."""
        before = counted(self.daemon, 2, POSTS["v1"])
        stored = representations.stored

        def layer(request: Request, addresses: Sequence[Address]) -> None:
            stored(request, addresses)

        self.patch(representations, "stored", layer)
        after = counted(self.daemon, 2, POSTS["v1"])
        self.assertLess(abs(after.all - before.all - 1), 0.5)

    def test_requests_that_are_not_answered(self) -> None:
        """They are no figure."""
        asked = POSTS["v1"].replace(b"/bench/q", b"/bench/nope")
        self.assertRaises(RuntimeError, counted, self.daemon, 2, asked)


class PartsTests(SynchronousTestCase):
    """To which part a function belongs."""

    def test_parts(self) -> None:
        for file, told in (
            ("/x/queuey/http/connection/channel.py", "the HTTP server"),
            ("/x/queuey/http/requests/request.py", "the answer"),
            ("/x/queuey/http/v2/representations/addresses.py", "the answer"),
            ("/x/queuey/http/v1/api.py", "who asks, and for what"),
            ("/x/queuey/logs/styles.py", "the log"),
            ("/x/queuey/deferreds.py", "Deferreds and coroutines"),
            ("/x/twisted/internet/defer.py", "Deferreds and coroutines"),
            ("/x/queuey/storage/timed.py", "the store"),
            ("<attrs generated methods queuey.http.connection.limits.AccessLine>", "the answer"),
            ("<attrs generated methods queuey.model.messages.message.Draft>", "the core"),
            ("/x/queuey/storage/group_commands.py", "commands of groups"),
            ("/x/queuey/model/groups/claims.py", "commands of groups"),
            ("/x/queuey/core/groups/claiming.py", "the core"),
            ("/x/twisted/internet/task.py", "Twisted and Python"),
        ):
            self.assertEqual(part(file, "f"), told, file)
