"""Completion: its script for a shell, and the names of queues, groups, pushes, schedules and contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

import click

from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings
from queuey_client.core.retry import Retry
from queuey_client.sync.client import Client
from queuey_client.sync.queue import Queue

LIMIT = 0.5
"""Seconds that a server may take to answer."""

MAX_NAMES = 200


class _Named(Protocol):
    @property
    def name(self) -> str:
        """The name."""


@click.command("completion", cls=Command, epilog='eval "$(queuey completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(settings: Settings, shell: str) -> None:
    """Print the completion script of a shell.

    Then the Tab key completes commands, options, and the names of contexts, queues, groups, pushes
    and schedules. To complete
    those that are on the server, the server is asked, and may take half a second.
    """
    from click.shell_completion import get_completion_class

    from queuey_client.cli.program import COMPLETE, root

    found = get_completion_class(shell)
    assert found is not None
    script = found(root(), {}, "queuey", COMPLETE)
    # source() of bash looks at the version of the bash that runs, which may be another shell's business.
    settings.output.line(script.source_template % script.source_vars())


def contexts(ctx: click.Context, incomplete: str) -> list[str]:
    """Return names of contexts."""
    return _quietly(lambda settings: [name for name in settings.config.contexts if name.startswith(incomplete)], ctx)


def queues(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return names of queues."""

    def ask(settings: Settings) -> list[str]:
        with _client(settings) as client:
            return [each.name for each in islice(client.queues(incomplete), MAX_NAMES)]

    return _quietly(ask, ctx)


def groups(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return names of groups of the queue that is named before."""
    return _of_queue(Queue.groups, ctx, incomplete)


def pushes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return names of pushes of the queue that is named before."""
    return _of_queue(Queue.pushes, ctx, incomplete)


def schedules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return names of schedules of the queue that is named before."""
    return _of_queue(Queue.schedules, ctx, incomplete)


def _of_queue(list_all: Callable[[Queue], Sequence[_Named]], ctx: click.Context, incomplete: str) -> list[str]:
    def ask(settings: Settings) -> list[str]:
        with _client(settings) as client:
            found = list_all(client.queue(str(ctx.params.get("queue"))))
            return [each.name for each in found if each.name.startswith(incomplete)][:MAX_NAMES]

    return _quietly(ask, ctx)


def _client(settings: Settings) -> Client:
    url, application, key = settings.url, settings.application, settings.key() or ""
    return Client(url, application, key=key, retry=Retry(deadline=0), timeout=LIMIT)


def _quietly(ask: Callable[[Settings], list[str]], ctx: click.Context) -> list[str]:
    """Return nothing if anything goes wrong: a shell that completes shows no errors."""
    settings: Any = ctx.find_root().obj
    try:
        return ask(settings) if isinstance(settings, Settings) else []
    except Exception:
        return []
