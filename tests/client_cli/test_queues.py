"""``queuey queues``, ``groups``, ``purge``, ``redrive``, ``top`` and ``signed-url``."""

from __future__ import annotations

import json
from typing import Any

from queuey_client import Client
from queuey_client.cli.commands.top import _Look
from queuey_client.cli.commands.top_of_daemon import LookAtDaemon
from queuey_client.cli.settings import Settings
from queuey_client.core.signing import parse_signed_url
from tests.client.support import Server, answer, message, page, problem
from tests.client_cli.support import GROUP, LAG, QUEUE, CommandTestCase

MISSING = problem("no-such-queue", 404)


def queues(*names: str) -> Any:
    return answer({"queues": [{**QUEUE, "name": name} for name in names], "next": None})


def queue_with(messages: int, approximate: bool = False, oldest: str | None = "2025-11-26T12:14:43Z",
               name: str = "orders") -> Any:  # fmt: skip
    counts = {"messages": messages, "bytes": 100 * messages, "oldest": oldest, "approximate": approximate}
    return {**QUEUE, "name": name, "counts": counts}


def counted(messages: int, **more: Any) -> Any:
    return answer({"queues": [queue_with(messages, **more)], "next": None})


def groups(*more: Any) -> Any:
    return answer({"groups": [GROUP, *more]})


class QueuesTests(CommandTestCase):
    def test_ls(self) -> None:
        printed = self.succeed("queues", "ls", "o", replies=(queues("orders", "others"),))
        self.assertEqual(printed, "orders\tuser\t1\tat-least-once\t3600\nothers\tuser\t1\tat-least-once\t3600\n")
        self.assertTrue(self.server.asks[0].url.endswith("/queues?prefix=o"))

    def test_ls_json(self) -> None:
        """It has all that the API said."""
        found = json.loads(self.succeed("queues", "ls", "--json", replies=(queues("orders"),)))
        self.assertEqual(found, [QUEUE])
        found = json.loads(self.succeed("queues", "ls", "--ndjson", replies=(queues("orders"),)))
        self.assertEqual(found, QUEUE)

    def test_columns(self) -> None:
        printed = self.succeed("queues", "ls", "--columns", "version,name", replies=(queues("orders"),))
        self.assertEqual(printed, "v1\torders\n")
        words = self.fail_with(2, "queues", "ls", "--columns", "name,x", replies=(queues("orders"),))
        self.assertIn("there is no column 'x'", words)

    def test_json_or_ndjson(self) -> None:
        self.assertIn("not both", self.fail_with(2, "queues", "ls", "--json", "--ndjson", replies=(queues(),)))

    def test_count(self) -> None:
        printed = self.succeed("queues", "ls", "--count", "--columns", "name,messages,bytes", replies=(counted(7),))
        self.assertEqual(printed, "orders\t7\t700\n")
        self.assertTrue(self.server.asks[0].url.endswith("/queues?counts=true"))

    def test_estimates_are_marked(self) -> None:
        printed = self.succeed("queues", "ls", "--count", replies=(counted(7, approximate=True),))
        self.assertRegex(printed, "\t~7\t~700\t[0-9.]+\n")
        empty = self.succeed("queues", "ls", "--count", replies=(counted(0, oldest=None),))
        self.assertTrue(empty.endswith("\t0\t0\t-\n"))

    def test_show(self) -> None:
        printed = self.succeed("queues", "show", "orders", replies=(answer(QUEUE), groups()))
        self.assertIn("name\torders\ntype\tuser\n", printed)
        self.assertIn("groups\tbilling (3 behind)\n", printed)

    def test_set_makes(self) -> None:
        printed = self.succeed("queues", "set", "orders", "ttl=3600", replies=(MISSING, answer(QUEUE, 201)))
        self.assertIn("+\tttl\t3600\t-\n", printed)
        self.assertEqual((self.server.asks[1].method, self.server.sent()), ("PUT", {"ttl": 3600}))

    def test_set_changes(self) -> None:
        there = (answer(QUEUE), problem("conflict", 412), answer({**QUEUE, "ttl": 60}))
        printed = self.succeed("queues", "set", "orders", "ttl=60", "type=default", replies=there)
        self.assertIn("~\tttl\t60\t3600\n", printed)
        self.assertIn("=\ttype\tuser\t-\n", printed)
        self.assertEqual((self.server.asks[2].method, self.server.sent()), ("PATCH", {"ttl": 60, "type": None}))

    def test_if_match(self) -> None:
        self.succeed("queues", "set", "orders", "ttl=60", "--if-match", "v1", replies=(answer(QUEUE), answer(QUEUE)))
        self.assertEqual(self.server.asks[1].headers["If-Match"], '"v1"')
        replies = (answer(QUEUE), problem("conflict", 412))
        words = self.fail_with(1, "queues", "set", "orders", "ttl=60", "--if-match", "v0", replies=replies)
        self.assertIn("its version is v1, not v0", words)

    def test_create_only(self) -> None:
        self.succeed("queues", "set", "orders", "--create-only", replies=(MISSING, answer(QUEUE, 201)))
        self.assertIn("is there already", self.fail_with(1, "queues", "set", "orders", "--create-only",
                                                         replies=(answer(QUEUE),)))  # fmt: skip

    def test_set_wrong(self) -> None:
        for words in (("ttl",), ("=1",), ("a=1", "a=2"), ("--create-only", "--if-match", "x")):
            self.fail_with(2, "queues", "set", "orders", *words)

    def test_rm(self) -> None:
        self.succeed("queues", "rm", "orders", "--yes", replies=(answer(None, 204),))
        self.fail_with(3, "queues", "rm", "orders", "--yes", replies=(MISSING,))
        self.succeed("queues", "rm", "orders", "--yes", "--missing-ok", replies=(MISSING,))

    def test_nothing_is_asked_without_a_terminal(self) -> None:
        for arguments, replies in (
            (("queues", "rm", "orders"), ()),
            (("groups", "rm", "orders", "billing"), ()),
            (("groups", "seek", "orders", "billing", "oldest"), (answer(GROUP),)),
            (("purge", "orders", "now"), (page(1),)),
        ):
            words = self.fail_with(2, *arguments, replies=replies, input="y\n")
            self.assertIn("--yes", words)
            self.assertEqual([ask for ask in self.server.asks if ask.method != "GET"], [])


class GroupsTests(CommandTestCase):
    def test_ls(self) -> None:
        self.assertEqual(self.succeed("groups", "ls", "orders", replies=(groups(),)), "billing\t3\t1\t0\t2\t8.5\n")

    def test_ls_asks_what_a_list_does_not_say(self) -> None:
        bare = {name: value for name, value in GROUP.items() if name != "lag"}
        lag = {**LAG, "behind": {"count": 10000, "exact": False}}
        replies = (answer({"groups": [bare]}), answer({**GROUP, "lag": [lag]}))
        self.assertTrue(self.succeed("groups", "ls", "orders", replies=replies).startswith("billing\t>=10000\t"))

    def test_show(self) -> None:
        printed = self.succeed("groups", "show", "orders", "billing", replies=(answer(GROUP),))
        self.assertIn("lease\t30\n", printed)
        self.assertTrue(printed.endswith("\n\n1\t3\t1\t0\t2\t8.5\tplace-1\n"))

    def test_set(self) -> None:
        replies = (problem("no-such-group", 404), answer(GROUP, 201))
        printed = self.succeed("groups", "set", "orders", "billing", "dead_letter=failed", replies=replies)
        self.assertIn("+\tdead_letter\tfailed\t-\n", printed)
        self.fail_with(3, "groups", "set", "orders", "billing", replies=(MISSING,))

    def test_seek(self) -> None:
        after = {**GROUP, "lag": [{**LAG, "settled_through": "place-0"}]}
        replies = (answer(GROUP), answer(None, 204), answer(after))
        printed = self.succeed("groups", "seek", "orders", "billing", "1769860800", "--yes", replies=replies)
        self.assertEqual(printed, "1\tplace-1\tplace-0\t3\n")
        self.assertEqual(self.server.sent(1), {"to": "2026-01-31T12:00:00+00:00"})

    def test_wait(self) -> None:
        done = {**GROUP, "lag": [{**LAG, "behind": {"count": 0, "exact": True}}]}
        self.assertEqual(self.succeed("groups", "wait", "orders", "billing", replies=(answer(done),)), "billing\t0\n")
        self.succeed("groups", "wait", "orders", "billing", "--until-behind", "3", replies=(answer(GROUP),))
        words = self.fail_with(4, "groups", "wait", "orders", "billing", "--timeout", "0", replies=(answer(GROUP),))
        self.assertIn("still 3 messages behind", words)

    def test_rm(self) -> None:
        self.succeed("groups", "rm", "orders", "billing", "--yes", replies=(answer(None, 204),))
        replies = (problem("no-such-group", 404),)
        self.succeed("groups", "rm", "orders", "billing", "--yes", "--missing-ok", replies=replies)


class PurgeTests(CommandTestCase):
    def test_dry_run(self) -> None:
        self.assertEqual(self.succeed("purge", "orders", "now", "--dry-run", replies=(page(1, 2),)), "2\n")

    def test_before_an_id(self) -> None:
        """Only what is before it is counted."""
        replies = (page(1, 2, 3), answer(None, 204))
        self.assertEqual(self.succeed("purge", "orders", f"{3:032x}-1", "--yes", replies=replies), "2\n")
        self.assertTrue(self.server.asks[1].url.endswith(f"?before={3:032x}-1"))

    def test_the_count_is_bounded(self) -> None:
        many = tuple(page(*range(1000), more=True) for _ in range(11))
        result = self.run_command("purge", "orders", "now", "--dry-run", "--json", replies=many)
        found = json.loads(result.stdout)
        self.assertEqual((found["messages"], found["exact"], found["deleted"]), (10000, False, False))

    def test_future(self) -> None:
        self.assertIn("in the future", self.fail_with(2, "purge", "orders", "2999-01-01T00:00:00Z", "--yes"))


class RedriveTests(CommandTestCase):
    def letters(self) -> Any:
        def letter(number: int, reason: str, group: str = "billing") -> Any:
            origin = {"queue": "orders", "group": group, "id": f"o{number}", "deliveries": 5, "reason": reason}
            return message(number, headers={"queuey-dead-letter": origin, "kind": "a" if number % 2 else "b"})

        return page(messages=[letter(1, "timeout"), letter(2, "bad"), letter(3, "timeout"), letter(4, "x", "other")])

    def moved(self, *options: str) -> Any:
        """The ids that are moved."""
        replies = (answer(GROUP), self.letters(), answer({"moved": 2, "next": None}))
        self.assertEqual(self.succeed("redrive", "orders", "billing", *options, replies=replies), "moved\t2\n")
        return [int(id.partition("-")[0], 16) for id in self.server.sent()["ids"]]

    def test_all(self) -> None:
        replies = (answer({"moved": 2, "next": "x"}), answer({"moved": 1, "next": None}))
        self.assertEqual(self.succeed("redrive", "orders", "billing", "--all", replies=replies), "moved\t3\n")

    def test_some_left(self) -> None:
        """The number is printed, the reason said, and the exit status is not 0."""
        for moved, status in ((2, 7), (0, 1)):
            replies = (answer({"moved": moved, "left": {"queue-closed": 3}, "next": None}),)
            words = self.fail_with(status, "redrive", "orders", "billing", "--all", replies=replies)
            self.assertIn("(queue-closed: 3)", words)

    def test_chosen(self) -> None:
        self.assertEqual(self.moved("--all", "--reason", "time"), [1, 3])
        self.assertEqual(self.moved("--all", "--header", "kind=b"), [2])
        self.assertEqual(self.moved("--all", "--grep", "y [12]"), [1, 2])
        self.assertEqual(self.moved("--all", "-n", "2"), [1, 2])

    def test_dry_run(self) -> None:
        replies = (answer(GROUP), self.letters())
        printed = self.succeed("redrive", "orders", "billing", "--all", "--dry-run", "--columns", "original,reason",
                               replies=replies)  # fmt: skip
        self.assertEqual(printed, "o1\ttimeout\no2\tbad\no3\ttimeout\n")

    def test_set_aside(self) -> None:
        replies = (answer({**GROUP, "dead_letter": None}),)
        words = self.fail_with(1, "redrive", "orders", "billing", "--all", "--grep", "x", replies=replies)
        self.assertIn("no dead-letter queue", words)

    def test_which(self) -> None:
        for options in ((), ("--all", "--id", "1-1"), ("--all", "--since", "1h")):
            self.fail_with(2, "redrive", "orders", "billing", *options)
        self.fail_with(2, "redrive", "orders", "billing", "--all", "--grep", "(", replies=(answer(GROUP),))


class TopTests(CommandTestCase):
    def test_once(self) -> None:
        printed = self.succeed("top", "--columns", "queue,messages,bytes,change_per_s,behind,in_flight,group_age",
                               replies=(counted(7), groups()))  # fmt: skip
        self.assertEqual(printed, "orders\t7\t700\t-\t3\t1\t8.5\n")

    def test_numbers(self) -> None:
        """Documents have numbers; marks of estimates are for rows."""
        found = json.loads(self.succeed("top", "--ndjson", replies=(counted(7, approximate=True), groups())))
        self.assertEqual((found["messages"], found["approximate"], found["behind"]), (7, True, 3))

    def test_change(self) -> None:
        """How many messages more there are than before, each second."""
        settings = Settings(self.environment, Server(counted(7), groups(), counted(27), groups()))
        now = [100.0]
        look = _Look(settings, "", lambda: now[0])
        self.assertEqual([row["change_per_s"] for row in look.rows("name")], [None])
        now[0] += 10
        self.assertEqual([row["change_per_s"] for row in look.rows("name")], [2.0])

    def test_sorts(self) -> None:
        both = answer({"queues": [queue_with(7, name="a"), queue_with(9, name="b")], "next": None})
        for sort, wanted in (("messages", "b a"), ("name", "a b")):
            printed = self.succeed("top", "-s", sort, "--columns", "queue",
                                   replies=(both, answer({"groups": []}), answer({"groups": []})))  # fmt: skip
            self.assertEqual(printed.split(), wanted.split())


def reported(name: str, stored: float, **more: Any) -> dict[str, Any]:
    """A queue of a report."""
    group = {"name": "billing", "behind": 214, "exact": False, "in_flight": 2, "oldest": "2026-01-31T11:59:30.5Z"}
    return {
        "application": "shop",
        "name": name,
        "messages": 7,
        "bytes": 700,
        "oldest": "2026-01-31T11:59:00.0000000Z",
        "approximate": False,
        "rates": {"stored": stored, "given": 2.0, "acked": 1.0},
        "groups": [group],
        "more_groups": False,
        **more,
    }


class TopOfDaemonTests(CommandTestCase):
    """``queuey top --ops``."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.pages = [[reported("orders", 5.0)]]
        self.patch(LookAtDaemon, "_ask", self.ask)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        self.asked.append((method, dict(params)))
        page = self.pages.pop(0)
        return {"now": "2026-01-31T12:00:00.0000000Z", "queues": page, "next": "1" if self.pages else None}

    def top(self, *options: str) -> str:
        return self.succeed("top", "--ops", "unix:/run/ops.sock", *options)

    def test_a_row(self) -> None:
        columns = (
            "application,queue,messages,oldest_age,stored_per_s,given_per_s,acked_per_s,behind,in_flight,group_age"
        )
        self.assertEqual(self.top("--columns", columns), "shop\torders\t7\t60\t5\t2\t1\t>=214\t2\t29.5\n")
        expected = {"sort": "stored", "prefix": "", "limit": 100, "application": "shop"}
        self.assertEqual(self.asked, [("queues.report", expected)])

    def test_what_was_not_measured(self) -> None:
        unknown = dict.fromkeys(("messages", "bytes", "oldest", "approximate", "rates", "groups"))
        self.pages = [[reported("quiet", 0, **unknown)]]
        found = json.loads(self.top("--ndjson"))
        self.assertEqual((found["messages"], found["groups"], found["behind"]), (None, None, None))
        self.assertEqual(found["stored_per_s"], 0)

    def test_sorts(self) -> None:
        """Rates are sorted by the daemon, over all pages."""
        for sort, wanted, told in (("stored", "b a", "stored"), ("given", "a b", "given"), ("name", "a b", "name")):
            self.pages = [[reported("a", 1.0)], [reported("b", 3.0)]]
            self.assertEqual(self.top("-s", sort, "--columns", "queue").split(), wanted.split())
            self.assertEqual([params["sort"] for _, params in self.asked], [told, told])
            self.assertEqual(self.asked[1][1]["after"], "1")
            self.asked.clear()

    def test_all_applications(self) -> None:
        del self.environment["QUEUEY_APPLICATION"]
        self.environment["QUEUEY_OPS"] = "unix:/run/ops.sock"
        self.succeed("top")
        self.assertNotIn("application", self.asked[0][1])

    def test_contexts(self) -> None:
        self.environment.pop("QUEUEY_APPLICATION")
        self.succeed("context", "add", "local", "-u", "http://server", "-a", "other", "--ops", "http://127.0.0.1:5001")
        self.succeed("top")
        self.assertEqual(self.asked[0][1]["application"], "other")

    def test_sorts_that_are_not_known(self) -> None:
        self.assertIn("--ops", self.fail_with(2, "top", "-s", "stored"))
        self.assertIn("--sort change", self.fail_with(2, "top", "-s", "change", "--ops", "unix:x"))


class NoDaemonTests(CommandTestCase):
    """If no operators' port answers."""

    def test_addresses(self) -> None:
        for address, said in ((f"unix:{self.home}/none", "does not answer"), ("ftp://x", "is neither unix:PATH")):
            self.assertIn(said, self.fail_with(1, "top", "--ops", address))


class SignedUrlTests(CommandTestCase):
    def test_it_lets_in(self) -> None:
        url = self.succeed("signed-url", "orders", "read,write", "10m", "--rate", "5").strip()
        server = Server(page(1))
        queue = Client.from_signed_url(url, transport=server)
        self.assertEqual(len(queue.read().messages), 1)
        self.assertIn("signed_for=read%2Cwrite", server.asks[0].url)
        self.assertIn("signed_rate=5", server.asks[0].url)

    def test_events(self) -> None:
        """A live read by the same signature, which is for the queue."""
        url, live = (self.succeed("signed-url", "a/b", "read", "10m", *more).strip() for more in ((), ("--events",)))
        self.assertTrue(live.startswith("http://server/v2/shop/queues/a%2Fb/events?"), live)
        self.assertTrue(live.endswith("&errors=events"), live)
        self.assertEqual(parse_signed_url(live)[:3], parse_signed_url(url)[:3])
        self.assertEqual(
            [name for name, _ in parse_signed_url(live).signed], [n for n, _ in parse_signed_url(url).signed]
        )
        self.assertIn("--events needs", self.fail_with(2, "signed-url", "a", "write", "10m", "--events"))

    def test_wrong(self) -> None:
        self.assertIn("operations are one or more of", self.fail_with(2, "signed-url", "orders", "fly", "10m"))
        self.fail_with(2, "signed-url", "orders", "read", "soon")
        self.environment.pop("QUEUEY_KEY")
        self.assertIn("key", self.fail_with(2, "signed-url", "orders", "read", "1h"))
