"""Contexts, keys, and which of option, environment and context counts."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey_client.cli.contexts import Config, Context, load, save, written
from queuey_client.cli.failures import Failure
from tests.client.support import KEY, answer
from tests.client_cli.support import CommandTestCase

EMPTY: dict[str, Any] = {"queues": [], "next": None}
OTHER = "0123456789abcdef"


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "queuey" / "config.toml"

    def test_written_and_read(self) -> None:
        contexts = {"a.b": Context(url="http://a", application='x"\\y', keyring=True), "c": Context(key="k" * 9)}
        config = Config(contexts, "c", "a.b")
        save(self.path, config)
        self.assertEqual(load(self.path), config)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual([each.name for each in self.path.parent.iterdir()], ["config.toml"])

    def test_nothing_there(self) -> None:
        self.assertEqual(load(self.path), Config())
        self.assertEqual(written(Config()), "\n")

    def test_mistakes(self) -> None:
        self.path.parent.mkdir(parents=True)
        for text, why in (
            ("x", "is not TOML"),
            ("contexts = 1", "contexts is not a table"),
            ("[contexts]\na = 1", "contexts.a is not a table"),
            ("[contexts.a]\nulr = 'x'", "unknown 'ulr'; there are: url, "),
            ("[contexts.a]\nurl = 1", "contexts.a.url is no text"),
            ("[contexts.a]\nkeyring = 'x'", "contexts.a.keyring is no boolean"),
        ):
            self.path.write_text(text)
            with self.assertRaisesRegex(Failure, why):
                load(self.path)

    def test_a_key_that_others_may_read(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_text("[contexts.a]\nkey = 'k'\n")
        self.path.chmod(0o640)
        with self.assertRaisesRegex(Failure, "others may read it: chmod 600"):
            load(self.path)
        self.path.chmod(0o600)
        self.assertEqual(load(self.path).contexts["a"].key, "k")


class CommandTests(CommandTestCase):
    """``queuey context``, and what is used."""

    def add(self, name: str, *more: str) -> None:
        self.succeed("context", "add", name, "--url", f"http://{name}", "-a", f"app-{name}", *more)

    def asked(self, *options: str) -> tuple[str, str]:
        """Where a request went, and its credentials."""
        self.succeed(*options, "queues", "ls", replies=(answer(EMPTY),))
        (ask,) = self.server.asks
        return ask.url.removesuffix("/queues"), ask.headers.get("Authorization", "")

    def key_file(self, text: str = OTHER, mode: int = 0o600) -> str:
        path = self.home / "key"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def test_environment(self) -> None:
        self.assertEqual(self.asked(), ("http://server/v2/shop", f"Application {KEY}"))

    def test_option_before_environment(self) -> None:
        found = self.asked("-u", "http://x", "-a", "y", "--key-file", self.key_file())
        self.assertEqual(found, ("http://x/v2/y", f"Application {OTHER}"))

    def test_options_behind_the_command_count(self) -> None:
        self.succeed("-a", "x", "queues", "ls", "-a", "y", replies=(answer(EMPTY),))
        self.assertEqual(self.server.asks[0].url, "http://server/v2/y/queues")

    def test_environment_before_the_selected_context(self) -> None:
        self.add("one", "--key-file", self.key_file(), "--select")
        self.assertEqual(self.asked(), ("http://server/v2/shop", f"Application {KEY}"))

    def test_a_context_that_is_named_comes_before_the_environment(self) -> None:
        """So a copy from one deployment to another does not end where it began."""
        self.add("one", "--key-file", self.key_file())
        self.assertEqual(self.asked("-C", "one"), ("http://one/v2/app-one", f"Application {OTHER}"))

    def test_selected_and_previous(self) -> None:
        self.environment = {"HOME": str(self.home)}
        self.add("one", "--key-file", self.key_file())
        self.add("two")
        self.assertEqual(self.asked(), ("http://one/v2/app-one", f"Application {OTHER}"))
        self.succeed("context", "select", "two")
        self.assertEqual(self.asked(), ("http://two/v2/app-two", ""))
        self.succeed("context", "previous")
        self.assertEqual(self.asked()[0], "http://one/v2/app-one")
        self.environment["QUEUEY_CONTEXT"] = "two"
        self.assertEqual(self.asked()[0], "http://two/v2/app-two")

    def test_key_command(self) -> None:
        self.environment.pop("QUEUEY_KEY")
        self.add("one", "--key-command", f"echo {OTHER}")
        self.assertEqual(self.asked("-C", "one")[1], f"Application {OTHER}")
        self.add("one", "--key-command", "exit 3")
        self.assertIn("ended with status 3", self.fail_with(1, "-C", "one", "queues", "ls"))

    def test_key_file_that_others_may_read(self) -> None:
        self.environment.pop("QUEUEY_KEY")
        path = self.key_file(mode=0o644)
        self.add("one", "--key-file", path)
        self.assertIn("chmod 600", self.fail_with(2, "-C", "one", "queues", "ls"))
        # Where an orchestrator mounts it, its mode is not the user's to choose.
        result = self.run_command("--key-file", path, "queues", "ls", replies=(answer(EMPTY),))
        self.assertEqual(result.exit_code, 0)
        self.assertIn("all users may read it", result.stderr)

    def test_key_from_standard_input(self) -> None:
        self.succeed("queues", "ls", "--key-file", "-", replies=(answer(EMPTY),), input=f"{OTHER}\n")
        self.assertEqual(self.server.asks[0].headers["Authorization"], f"Application {OTHER}")

    def test_bad_keys(self) -> None:
        for text in ("", "two keys", "x" * 5000):
            self.assertIn("exactly one key", self.fail_with(2, "--key-file", self.key_file(text), "queues", "ls"))
        self.assertIn("No such file", self.fail_with(2, "--key-file", "nowhere", "queues", "ls"))

    def test_ls_and_show(self) -> None:
        self.add("one", "--key-file", "k")
        self.add("two")
        self.assertEqual(self.succeed("context", "ls"), "*\tone\tapp-one\thttp://one\n-\ttwo\tapp-two\thttp://two\n")
        self.assertEqual(
            self.succeed("context", "show", "one"),
            "name\tone\nurl\thttp://one\napplication\tapp-one\nkey_file\tk\n",
        )
        shown = json.loads(self.succeed("context", "show", "--json"))
        self.assertEqual((shown["url"], shown["application"]), ("http://server", "shop"))

    def test_check(self) -> None:
        self.add("one")
        self.assertIn("check\tanswered in", self.succeed("context", "show", "one", "--check", replies=(answer({}),)))
        self.assertEqual(self.server.asks[0].url, "http://one/v2/app-one")

    def test_rm(self) -> None:
        self.add("one")
        self.succeed("context", "rm", "one")
        self.assertEqual(self.succeed("context", "ls"), "")
        self.assertIn("no context 'one'; the contexts are: none", self.fail_with(2, "context", "rm", "one"))

    def test_refused(self) -> None:
        self.assertIn("is not a name", self.fail_with(2, "context", "add", "a/b", "-u", "http://x", "-a", "y"))
        many = ("--key-file", "x", "--keyring")
        self.assertIn("one of --key-file", self.fail_with(2, "context", "add", "a", "-u", "http://x", "-a", "y", *many))
        self.assertIn("no other context", self.fail_with(1, "context", "previous"))

    def test_no_application(self) -> None:
        self.environment.pop("QUEUEY_APPLICATION")
        self.assertIn("name the application", self.fail_with(2, "queues", "ls"))

    def test_a_url_that_is_none(self) -> None:
        self.assertIn("'x' is no URL", self.fail_with(2, "-u", "x", "queues", "ls"))
