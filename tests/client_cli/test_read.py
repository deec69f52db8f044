"""``queuey read``, ``get`` and ``tail``."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from queuey_client.cli.contexts import state_path
from tests.client.support import answer, message, page, problem
from tests.client_cli.support import CommandTestCase

ROW = "{:032x}-1\t2025-11-26T12:14:43.211243Z\ttext/plain\tbody {}"


def rows(*numbers: int) -> str:
    return "".join(ROW.format(number, number) + "\n" for number in numbers)


def page_of(*bodies: bytes, **more: Any) -> Any:
    messages = [{**message(number), "body_base64": b64encode(body).decode()} for number, body in enumerate(bodies, 1)]
    for each in messages:
        del each["body"]
    return page(messages=messages, **more)


class ReadTests(CommandTestCase):
    def test_rows(self) -> None:
        self.assertEqual(self.succeed("read", "orders", replies=(page(1, 2, more=True), page(3))), rows(1, 2, 3))
        self.assertEqual(
            [ask.url.partition("?")[2] for ask in self.server.asks], ["limit=1000", "after=after-2&limit=1000"]
        )

    def test_limit(self) -> None:
        """No page is asked for that is not printed."""
        self.assertEqual(self.succeed("read", "orders", "-n", "2", replies=(page(1, 2, more=True),)), rows(1, 2))
        self.assertTrue(self.server.asks[0].url.endswith("?limit=2"))

    def test_newest(self) -> None:
        self.succeed("read", "orders", "--newest", "-n", "1", replies=(page(2),))
        self.assertTrue(self.server.asks[0].url.endswith("?order=desc&limit=1"))

    def test_where(self) -> None:
        options = ("--since", "2026-01-31T12:00:00Z", "--until", "1769860900", "-p", "1", "-p", "3")
        self.succeed("read", "orders", *options, replies=(page(),))
        self.assertEqual(
            self.server.asks[0].url.partition("?")[2],
            "since=2026-01-31T12%3A00%3A00%2B00%3A00&until=2026-01-31T12%3A01%3A40%2B00%3A00&limit=1000"
            "&partition=1&partition=3",
        )

    def test_ndjson(self) -> None:
        found = [json.loads(line) for line in self.succeed("read", "q", "--ndjson", replies=(page(1, 2),)).splitlines()]
        self.assertEqual([each["body"] for each in found], ["body 1", "body 2"])
        self.assertLessEqual(set(message(1)), set(found[0]))

    def test_json(self) -> None:
        """It is one document, also if there is nothing."""
        self.assertEqual(json.loads(self.succeed("read", "q", "--json", replies=(page(),))), [])
        self.assertEqual(len(json.loads(self.succeed("read", "q", "--json", replies=(page(1, 2),)))), 2)

    def test_bytes(self) -> None:
        reply = page_of(b"\xff\x00", b"a\tb\nc\\")
        found = [json.loads(line) for line in self.succeed("read", "q", "--ndjson", replies=(reply,)).splitlines()]
        self.assertEqual((found[0]["body_base64"], "body" in found[0]), ("/wA=", False))
        printed = self.succeed("read", "q", "--columns", "body", replies=(reply,))
        self.assertEqual(printed, "\\xff\\x00\na\\tb\\nc\\\\\n")

    def test_a_terminal_obeys_no_body(self) -> None:
        printed = self.succeed("read", "q", "--columns", "body", replies=(page_of(b"\x1b]0;x\x07\xc2\x9b"),))
        self.assertEqual(printed, "\\x1b]0;x\\x07\\x9b\n")

    def test_raw(self) -> None:
        for option, wanted in (("--raw", b"\xff\x00\nb\n"), ("--null", b"\xff\x00\0b\0")):
            result = self.run_command("read", "q", option, replies=(page_of(b"\xff\x00", b"b"),))
            self.assertEqual(result.stdout_bytes, wanted)

    def test_dump(self) -> None:
        folder = self.home / "dump"
        printed = self.succeed("read", "q", "--dump", str(folder), replies=(page_of(b"\xff", b""),))
        files = sorted(folder.iterdir())
        self.assertEqual(printed.splitlines(), [str(path) for path in files])
        self.assertEqual([(path.suffix, path.read_bytes()) for path in files], [(".txt", b"\xff"), (".txt", b"")])

    def test_grep(self) -> None:
        self.assertEqual(self.succeed("read", "q", "--grep", "y [23]", replies=(page(1, 2, 3, 4),)), rows(2, 3))
        self.assertIn("--grep", self.fail_with(2, "read", "q", "--grep", "("))

    def test_columns(self) -> None:
        self.assertEqual(self.succeed("read", "q", "--columns", "partition,key", replies=(page(1),)), "1\t-\n")
        self.assertIn("there is no column 'x'; the columns are: ", self.fail_with(2, "read", "q", "--columns", "x",
                                                                           replies=(page(1),)))  # fmt: skip

    def test_fail_empty(self) -> None:
        self.fail_with(6, "read", "q", "--fail-empty", replies=(page(),))
        self.succeed("read", "q", replies=(page(),))

    def test_reader(self) -> None:
        self.succeed("read", "q", "--reader", "mail", replies=(page(1),))
        self.succeed("read", "q", "--reader", "mail", replies=(page(2),))
        self.assertIn("after=after-1", self.server.asks[0].url)
        kept = [path.name for path in state_path(self.environment).rglob("*.cursor")]
        self.assertEqual(kept, ["mail.cursor"])

    def test_readers_of_servers_are_apart(self) -> None:
        self.succeed("read", "q", "--reader", "mail", replies=(page(1),))
        self.succeed("-u", "http://other", "read", "q", "--reader", "mail", replies=(page(1),))
        self.assertNotIn("after=", self.server.asks[0].url)

    def test_gap(self) -> None:
        gap = page(1, resume="truncated", first="f")
        result = self.run_command("read", "q", "--after", "x", replies=(gap,))
        self.assertEqual((result.exit_code, result.stdout), (0, rows(1)))
        self.assertIn("queuey: warning: queue q: messages that this reader had not come to", result.stderr)
        self.assertEqual(self.run_command("read", "q", "--on-gap", "ignore", replies=(gap,)).stderr, "")
        self.fail_with(1, "read", "q", "--on-gap", "raise", replies=(gap,))


class GetTests(CommandTestCase):
    def reply(self) -> Any:
        headers: dict[str, Any] = {"queuey_id": "1-1", "queuey_partition": "1", "etag": '"t"', "content_type": "a/b"}
        found = answer(None, **headers)
        return type(found)(200, found.headers, b"\xff\n")

    def test_get(self) -> None:
        self.assertEqual(self.succeed("get", "q", "1-1", replies=(self.reply(),)), "1-1\t-\ta/b\t\\xff\\n\n")
        self.assertEqual(self.run_command("get", "q", "1-1", "--raw", replies=(self.reply(),)).stdout_bytes, b"\xff\n")
        found = json.loads(self.succeed("get", "q", "1-1", "--json", replies=(self.reply(),)))
        self.assertEqual((found["body_base64"], found["etag"]), ("/wo=", '"t"'))

    def test_not_there(self) -> None:
        self.fail_with(3, "get", "q", "1-1", replies=(problem("no-such-message", 404),))


class TailTests(CommandTestCase):
    def test_last(self) -> None:
        self.assertEqual(self.succeed("tail", "q", "-F", "-n", "2", replies=(page(3, 2),)), rows(2, 3))

    def test_goes_on_where_the_last_ones_end(self) -> None:
        printed = self.succeed("tail", "q", "--count", "3", replies=(page(2, 1), page(3)))
        self.assertEqual(printed, rows(1, 2, 3))
        self.assertIn(f"after={2:032x}-1&wait=20", self.server.asks[1].url)

    def test_an_empty_queue(self) -> None:
        """All that comes is new."""
        self.assertEqual(self.succeed("tail", "q", "--count", "1", replies=(page(), page(1))), rows(1))
        self.assertTrue(self.server.asks[1].url.endswith("?wait=20"))

    def test_exec(self) -> None:
        target = self.home / "out"
        command = f'cat >> {target}; echo " $QUEUEY_ID $QUEUEY_TYPE" >> {target}'
        self.succeed("tail", "q", "--count", "1", "--exec", command, replies=(page(1),))
        self.assertEqual(target.read_text(), f"body 1 {1:032x}-1 text/plain\n")

    def test_exec_that_fails(self) -> None:
        """Its message comes again to the reader."""
        arguments = ("tail", "q", "--since", "1", "--reader", "r", "--exec", 'grep -q "body 1"')
        self.assertIn("ended with status 1", self.fail_with(1, *arguments, replies=(page(1, 2),)))
        (kept,) = state_path(self.environment).rglob("*.cursor")
        self.assertEqual(Path(kept).read_text(), f"{1:032x}-1")

    def test_wrong_arguments(self) -> None:
        for arguments in (("a", "b", "--reader", "r"), ("a*", "--after", "x"), ("a", "b", "-F"), ()):
            self.fail_with(2, "tail", *arguments)
