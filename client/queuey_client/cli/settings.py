"""What a command is run with: options, the environment, the context, and what is made of them."""

from __future__ import annotations

import os
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from queuey_client.cli import contexts
from queuey_client.cli.contexts import Config, Context
from queuey_client.cli.display.output import Output, standard_output
from queuey_client.cli.failures import MAX_TEXT, WRONG_ARGUMENTS, Failure, printable, shortened
from queuey_client.core.errors import QueueyError
from queuey_client.core.retry import Retry
from queuey_client.core.settings import DEFAULT_URL
from queuey_client.core.steps import Answer, Ask, NoAnswer
from queuey_client.sync.client import Client
from queuey_client.sync.transport import Transport, Urllib3Transport
from queuey_client.version import USER_AGENT

DEADLINE = 60.0
LINGER = 0.005
"""Seconds; see ``Queue.writer``."""

CONNECTIONS = 10
"""Connections that are kept open."""

ATTEMPT = 10.0
"""Seconds without a byte of the answer, of one attempt."""


class Settings:
    """The object that click hands to every command.

    :param environment: instead of that of the process.
    :param transport: brings requests to the server, instead of urllib3; for tests.
    :ivar linger: seconds that messages of a stream wait for others, to be sent in one request.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, transport: Transport | None = None) -> None:
        self.environment: Mapping[str, str] = os.environ if environment is None else environment
        self._transport = transport
        self._given: dict[str, Any] = {}
        self._config: Config | None = None
        self._client: Client | None = None
        self._said: set[str] = set()
        self.last_words: list[str] = []
        self.stopping = False
        self.connections = CONNECTIONS
        self.linger = LINGER

    def give(self, name: str, value: Any) -> None:
        """Take an option from the command line; one behind the command comes later, and counts."""
        self._given[name] = value

    def given(self, name: str) -> Any:
        """Return an option of the command line, or ``None``."""
        return self._given.get(name)

    @property
    def config_path(self) -> Path:
        """Where the contexts are."""
        return contexts.config_path(self.environment)

    @property
    def config(self) -> Config:
        """The contexts."""
        if self._config is None:
            self._config = contexts.load(self.config_path)
        return self._config

    @property
    def _named(self) -> bool:
        """Whether a context was named on the command line, so that it comes before the environment."""
        return bool(self.given("context"))

    @property
    def context(self) -> Context:
        """The context that is in force; an empty one if there is none."""
        name = self.given("context") or self.environment.get("QUEUEY_CONTEXT") or self.config.selected
        return self.config.named(name) if name else Context()

    def _setting(self, option: str, variable: str) -> str | None:
        found = self.given(option)
        if found:
            return str(found)
        own: str | None = getattr(self.context, option)
        outer = self.environment.get(variable)
        return (own or outer) if self._named else (outer or own)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._setting("url", "QUEUEY_URL") or DEFAULT_URL

    @property
    def application(self) -> str:
        """The name of the application. :raise click.UsageError: if none is named."""
        found = self._setting("application", "QUEUEY_APPLICATION")
        if not found:
            raise click.UsageError("name the application with --application, QUEUEY_APPLICATION or a context")
        return found

    @property
    def application_or_none(self) -> str | None:
        """The name of the application, if one is named."""
        return self._setting("application", "QUEUEY_APPLICATION") or None

    @property
    def ops(self) -> str | None:
        """The address of the operators' port, if it is named."""
        return self._setting("ops", "QUEUEY_OPS") or None

    def key(self) -> str | None:
        """Return the application's key, if there is one."""
        file = self.given("key_file")
        if file:
            return self._from_file(str(file))
        if self._named:
            return self._of_context() or self._of_environment()
        return self._of_environment() or self._of_context()

    def _of_environment(self) -> str | None:
        if self.environment.get("QUEUEY_KEY"):
            return self.environment["QUEUEY_KEY"]
        file = self.environment.get("QUEUEY_KEY_FILE")
        return self._from_file(file) if file else None

    def _of_context(self) -> str | None:
        context = self.context
        if context.key:
            return context.key
        if context.key_file:
            path = Path(context.key_file).expanduser()
            if path.exists():
                contexts.check_mode(path, "it has a key")
            return contexts.key_of_file(path)
        if context.key_command:
            return contexts.key_of_command(context.key_command)
        return contexts.key_of_keyring(self.url, self.application) if context.keyring else None

    def _from_file(self, name: str) -> str:
        if name == "-":
            return contexts.one_key(sys.stdin.buffer.readline(contexts.MAX_KEY + 1), "standard input")
        path = Path(name)
        key = contexts.key_of_file(path)
        if contexts.others_may_read(path):
            self.say(f"warning: {path}: it has a key, and all users may read it")
        return key

    # What is made of it

    @property
    def client(self) -> Client:
        """The client."""
        if self._client is None:
            deadline = self.timeout
            self._client = Client(
                self.url,
                self.application,
                # An empty key keeps the client from the environment, which has been looked at here.
                key=self.key() or "",
                retry=Retry(deadline=0) if self.given("no_retry") else Retry(deadline=deadline, on=self._again),
                timeout=min(ATTEMPT, deadline),
                transport=self._transport or self._own_transport(),
                user_agent=USER_AGENT.replace("queuey-client", "queuey-cli"),
            )
        return self._client

    @property
    def timeout(self) -> float:
        """Seconds for all attempts of a request."""
        return float(self.given("timeout") or DEADLINE)

    def _own_transport(self) -> Transport:
        file = self._setting("ca_file", "SSL_CERT_FILE")
        tls = None
        if file:
            try:
                tls = ssl.create_default_context(cafile=file)
            except (OSError, ssl.SSLError) as error:
                raise Failure(f"{file}: cannot read certificates: {error}", status=WRONG_ARGUMENTS) from None
        if self.given("verbose"):
            return ShowingTransport(self, self.connections, tls)
        return Urllib3Transport(self.connections, tls)

    def for_another_process(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return an environment and options with which another process gets the same client."""
        given = {name: value for name, value in self._given.items() if name != "key_file"}
        own = {"QUEUEY_URL": self.url, "QUEUEY_APPLICATION": self.application, "QUEUEY_KEY": self.key() or ""}
        given.pop("context", None)
        file = self._setting("ca_file", "SSL_CERT_FILE")
        if file:
            given["ca_file"] = file
        return {**self.environment, **own, "QUEUEY_CONTEXT": ""}, given

    def _again(self, error: QueueyError) -> bool:
        if not self.stopping:
            text = shortened(error.detail)
            self.say(f"{text}; trying again, for up to {self.timeout:g} s (--no-retry turns this off)", once=True)
        return True

    @property
    def output(self) -> Output:
        """Standard output."""
        form = "json" if self.given("json") else "ndjson" if self.given("ndjson") else "table"
        if self.given("json") and self.given("ndjson"):
            raise click.UsageError("use --json or --ndjson, not both")
        terminal = sys.stdout.isatty()
        colour = terminal and not self.environment.get("NO_COLOR") and self.environment.get("TERM") != "dumb"
        return Output(standard_output(), form, self.given("columns"), terminal, colour)

    @property
    def quiet(self) -> bool:
        """Whether only errors are printed."""
        return bool(self.given("quiet"))

    def say(self, text: str, once: bool = False) -> None:
        """Say something on standard error, unless ``--quiet``."""
        if self.quiet or (once and text in self._said):
            return
        if once and len(self._said) < 100:
            self._said.add(text)
        complain(text)

    def progress(self, wanted: bool | None, prints: bool = False) -> bool:
        """Tell whether progress is shown: as asked for, else on a terminal.

        :param prints: whether the command prints meanwhile. On the terminal on which it prints there is no bar, even if
            one is asked for: each would overwrite parts of the other.
        """
        if prints and sys.stdout.isatty():
            return False
        return sys.stderr.isatty() and not self.quiet if wanted is None else wanted

    @property
    def interactive(self) -> bool:
        """Whether a question can be asked and answered."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before something is done that cannot be undone.

        :raise click.UsageError: if there is no terminal to ask on. :raise Failure: if the answer is no.
        """
        if yes:
            return
        if not self.interactive:
            raise click.UsageError(f"{question} There is no terminal to ask on; --yes confirms it.")
        if not click.confirm(question, err=True):
            raise Failure("nothing was changed")

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()


def complain(text: str) -> None:
    """Say something on standard error."""
    shown = "".join(each if each == "\\" else printable(each) for each in text)
    cut = shown if len(shown) <= MAX_TEXT else f"{shown[:MAX_TEXT]} ..."
    sys.stderr.write(f"queuey: {cut}\n")
    sys.stderr.flush()


class ShowingTransport(Urllib3Transport):
    """Says each request and the status of its answer on standard error; keys and signatures are not shown."""

    def __init__(self, settings: Settings, connections: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(connections, tls)
        self._settings = settings

    def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""
        began = time.monotonic()
        result: int | str = "no answer"
        try:
            answer = super().send(ask)
            result = answer.status
            return answer
        except NoAnswer as error:
            result = error.detail
            raise
        finally:
            url = ask.url.split("signature=")[0]
            complain(f"{ask.method} {url}: {result}, {1000 * (time.monotonic() - began):.0f} ms")

    def another(self) -> Urllib3Transport:
        """Return one with the same options and connections of its own."""
        return ShowingTransport(self._settings, self._connections, self._tls)
