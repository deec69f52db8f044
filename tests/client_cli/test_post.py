"""``queuey post``."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import unquote

from tests.client.support import REFUSED, STORED, answer, problem
from tests.client_cli.support import QUEUE, CommandTestCase, streamed

INFO = answer(QUEUE)


class SingleTests(CommandTestCase):
    def test_argument(self) -> None:
        self.assertEqual(self.succeed("post", "orders", "hi", replies=(answer(STORED, 201),)), "1-1\n")
        (ask,) = self.server.asks
        self.assertEqual((ask.method, ask.url), ("POST", "http://server/v2/shop/queues/orders/messages"))
        self.assertEqual((ask.body, ask.headers["Content-Type"]), (b"hi", "text/plain;charset=utf-8"))
        self.assertRegex(ask.headers["Idempotency-Key"], '"[0-9a-f]{32}"')

    def test_options(self) -> None:
        options = ("-t", "application/json", "-H", "a=1", "-H", "b=x=y", "-k", "c7", "--ttl", "1h", "--delay", "90")
        self.succeed("post", "orders", "{}", *options, "--idempotency-key", "mine", replies=(answer(STORED, 201),))
        (ask,) = self.server.asks
        self.assertTrue(ask.url.endswith("?ttl=3600&key=c7&delay=90"), ask.url)
        self.assertEqual(json.loads(unquote(ask.headers["Queuey-Headers"])), {"a": 1, "b": "x=y"})
        self.assertEqual((ask.headers["Content-Type"], ask.headers["Idempotency-Key"]), ("application/json", '"mine"'))

    def test_standard_input(self) -> None:
        for arguments in ((), ("-",)):
            self.succeed("post", "orders", *arguments, replies=(answer(STORED, 201),), input=b"\xff\n")
            (ask,) = self.server.asks
            self.assertEqual((ask.body, ask.headers["Content-Type"]), (b"\xff\n", "application/octet-stream"))

    def test_files(self) -> None:
        one, two = self.home / "a.json", self.home / "b"
        one.write_text("{}")
        two.write_bytes(b"\xff")
        replies = (answer(STORED, 201), answer(STORED, 201))
        printed = self.succeed("post", "orders", "-f", str(one), "-f", str(two), replies=replies)
        self.assertEqual(printed, f"1-1\t{one}\n1-1\t{two}\n")
        types = [ask.headers["Content-Type"] for ask in self.server.asks]
        self.assertEqual(types, ["application/json", "application/octet-stream"])
        first, second = self.server.keys
        assert first is not None
        self.assertEqual(second, f'{first[:-3]}-2"')

    def test_json(self) -> None:
        found = json.loads(self.succeed("post", "orders", "hi", "--json", replies=(answer(STORED, 201),)))
        self.assertEqual((found["messages"], found["duplicate"]), ([{"id": "1-1"}], False))
        self.assertEqual(f'"{found["idempotency_key"]}"', self.server.keys[0])

    def test_create(self) -> None:
        self.succeed("post", "orders", "hi", "--create", replies=(answer(QUEUE, 201), answer(STORED, 201)))
        self.assertEqual(self.server.asks[0].headers["If-None-Match"], "*")

    def test_a_queue_without_keys(self) -> None:
        self.succeed("post", "orders", "x", replies=(problem("not-promised", 409), answer(STORED, 201)))
        self.assertEqual(self.server.keys[1], None)
        self.fail_with(1, "post", "orders", "x", "--idempotency-key", "k", replies=(problem("not-promised", 409),))

    def test_how_to_repeat(self) -> None:
        words = self.fail_with(4, "--no-retry", "post", "orders", "x", replies=(REFUSED,))
        self.assertRegex(
            words, "to store what is missing, and nothing twice, repeat it with --idempotency-key [0-9a-f]{32}"
        )

    def test_wrong_arguments(self) -> None:
        for arguments in (
            ("x", "--lines"),
            ("x", "-f", "y"),
            ("--lines", "--ndjson"),
            ("-H", "x"),
            ("--ttl", "soon"),
            ("--lines", "--count", "2"),
        ):
            self.fail_with(2, "post", "orders", *arguments)
            self.assertEqual(self.server.asks, [])


class ManyTests(CommandTestCase):
    def test_lines(self) -> None:
        result = self.run_command(
            "post", "orders", "--lines", "--idempotency-key", "k", replies=(streamed(),), input="a\n\nb"
        )
        self.assertEqual((result.exit_code, result.stdout), (0, ""), result.output)
        self.assertEqual(result.stderr, "queuey: 3 messages were stored\n")
        found = [(each["body"], each["idempotency_key"]) for each in self.lines_sent()]
        self.assertEqual(found, [("a", "k-1"), ("", "k-2"), ("b", "k-3")])

    def test_null(self) -> None:
        self.succeed("post", "orders", "-0", "-q", replies=(INFO, streamed()), input=b"a\n\0b\0")
        self.assertEqual([each["body"] for each in self.lines_sent()], ["a\n", "b"])

    def test_a_queue_that_takes_no_keys(self) -> None:
        info = answer({**QUEUE, "guarantee": "at-most-once"})
        self.succeed("post", "orders", "--lines", "-q", replies=(info, streamed()), input="a\n")
        self.assertNotIn("idempotency_key", self.lines_sent()[0])

    def test_files_of_lines(self) -> None:
        path = self.home / "log"
        path.write_bytes(b"a\nb\n")
        self.succeed("post", "orders", "--lines", "-f", str(path), "-q", replies=(INFO, streamed()))
        self.assertEqual([each["body"] for each in self.lines_sent()], ["a", "b"])

    def test_count(self) -> None:
        self.succeed("post", "orders", "n {n}", "--count", "2", "-q", replies=(INFO, streamed()))
        self.assertEqual([each["body"] for each in self.lines_sent()], ["n 1", "n 2"])

    def test_batch(self) -> None:
        stored = {**STORED, "messages": [{"id": "1-1"}, {"id": "2-1"}]}
        printed = self.succeed("post", "orders", "--lines", "--batch", replies=(answer(stored, 201),), input="a\nb\n")
        self.assertEqual(printed, "1-1\n2-1\n")
        self.assertEqual([each["body"] for each in self.server.sent()["messages"]], ["a", "b"])

    def test_too_large_a_batch(self) -> None:
        words = self.fail_with(1, "post", "orders", "--lines", "--batch", input="a\n" * 1001)
        self.assertIn("nothing was stored", words)

    def test_some_refused(self) -> None:
        lines = [
            json.dumps({"line": 2, "code": "too-large", "status": 413, "detail": "said so", "applied": "no"}),
            '{"done":true}',
        ]
        reply = answer({"done": True})
        reply = type(reply)(200, reply.headers, "\n".join(lines).encode())
        words = self.fail_with(7, "post", "orders", "--lines", replies=(INFO, reply), input="a\nb\nc\n")
        self.assertIn("message 2: said so", words)
        self.assertIn("1 of 3 messages was refused", words)

    def test_no_connection(self) -> None:
        words = self.fail_with(4, "--no-retry", "post", "orders", "--lines", replies=(INFO, REFUSED), input="a\nb\n")
        self.assertIn("0 messages were stored", words)
        self.assertIn("--idempotency-key", words)

    def test_no_queue(self) -> None:
        words = self.fail_with(3, "post", "orders", "--lines", replies=(problem("no-such-queue", 404),), input="a\n")
        self.assertIn("queuey queues set NAME", words)


class NdjsonTests(CommandTestCase):
    def sent(self, *lines: object) -> list[object]:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        self.succeed("post", "orders", "--ndjson", "-", "-q", replies=(INFO, streamed()), input=text)
        found = self.lines_sent()
        for each in found:
            each.pop("idempotency_key")
        return found

    def test_members(self) -> None:
        line = {"body": "x", "content_type": "a/b", "headers": {"h": 1}, "partition": 2, "ttl": 5, "delay": 1.5}
        self.assertEqual(self.sent(line), [line])

    def test_own_keys(self) -> None:
        text = '{"body": "x", "idempotency_key": "mine"}\n'
        self.succeed("post", "orders", "--ndjson", "-q", replies=(INFO, streamed()), input=text)
        self.assertEqual(self.lines_sent()[0]["idempotency_key"], "mine")

    def test_what_was_read(self) -> None:
        """A copy has the types, the headers and the keys; ids, times and partitions are of the other queue."""
        body = b64encode(b"\xff").decode()
        line = {
            "id": "1-3", "queue": "q", "partition": 3, "timestamp": "t", "expires": "e", "content_type": "a/b",
            "headers": {"h": 1, "queuey-key": "k", "queuey-origin": "0-1"}, "body_base64": body,
        }  # fmt: skip
        self.assertEqual(
            self.sent(line), [{"content_type": "a/b", "body_base64": body, "headers": {"h": 1}, "key": "k"}]
        )

    def test_bad_lines(self) -> None:
        """Each is named, and the others are stored."""
        lines = [
            "x",
            "[]",
            "{}",
            '{"body":"a","bdy":1}',
            '{"body_base64":"?"}',
            '{"body":"a","ttl":"x"}',
            '{"body":"a"}',
        ]
        words = self.fail_with(
            7, "post", "orders", "--ndjson", replies=(INFO, streamed()), input="\n".join(lines)
        ).splitlines()
        self.assertEqual([line.split(":")[1].strip() for line in words[:6]], [f"line {n}" for n in range(1, 7)])
        self.assertIn("unknown members: bdy", words[3])
        self.assertIn("6 of 7 messages were refused", words[6])

    def test_words_are_bounded(self) -> None:
        words = self.fail_with(2, "post", "orders", "--ndjson", replies=(INFO,), input="x\n" * 1000)
        self.assertEqual(len(words.splitlines()), 21)
