"""``queuey context``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import click

from queuey_client.cli import contexts
from queuey_client.cli.contexts import NAME, Config, Context
from queuey_client.cli.failures import Failure
from queuey_client.cli.options import Subcommands
from queuey_client.cli.settings import Settings

EXAMPLES = """\
queuey context add shop --url https://queues.example.net -a shop \\
    --key-file ~/.config/queuey/shop.key --select"""


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from queuey_client.cli.completing import contexts

    return contexts(ctx, incomplete)


@click.group("context", cls=Subcommands)
def context() -> None:
    """Save servers, applications and keys under names.

    Contexts are saved in ~/.config/queuey/config.toml. The selected one is used by all commands, except where an option
    or an environment variable says something else.
    """  # fmt: skip


@context.command("add", epilog=EXAMPLES)
@click.argument("name")
@click.option("-u", "--url", required=True, metavar="URL", help="the server")
@click.option("-a", "--application", required=True, metavar="NAME", help="the application")
@click.option(
    "--key-file",
    metavar="FILE",
    help="the file with the application's key; only you may be allowed to read it (mode 0600)",
)
@click.option(
    "--key-command", metavar="COMMAND", help="a command that prints the key, such as one of a password manager"
)
@click.option("--keyring", is_flag=True, help="take the key from the keyring of the desktop")
@click.option("--ca-file", metavar="FILE", help="the certificates to trust")
@click.option("--ops", metavar="ADDRESS", help="the operators' port, for queuey top: unix:PATH or a URL")
@click.option("--select", is_flag=True, help="also select it")
@click.pass_obj
def add(settings: Settings, /, name: str, select: bool, **members: Any) -> None:
    """Add a context, or replace it."""
    if NAME.fullmatch(name) is None:
        raise click.UsageError(
            f"{name!r} is not a name of a context: it has up to 100 letters, digits, dots, underscores and hyphens"
        )
    if sum(bool(members[each]) for each in ("key_file", "key_command", "keyring")) > 1:
        raise click.UsageError("use one of --key-file, --key-command and --keyring")
    config = settings.config
    config = replace(config, contexts={**config.contexts, name: Context(**members)})
    contexts.save(settings.config_path, config.select(name) if select or len(config.contexts) == 1 else config)


@context.command("ls", epilog="queuey context ls")
@click.pass_obj
def ls(settings: Settings) -> None:
    """List contexts. * marks the selected one."""
    config = settings.config
    rows = []
    for name, each in sorted(config.contexts.items()):
        selected = name == config.selected
        document = {"name": name, "selected": selected, **each.shown()}
        rows.append(({**document, "selected": "*" if selected else None}, document))
    settings.output.rows(("selected", "name", "application", "url"), rows)


@context.command("show", epilog="queuey context show --check")
@click.argument("name", required=False, shell_complete=_complete)
@click.option("--check", is_flag=True, help="also ask the server whether the key is accepted")
@click.pass_obj
def show(settings: Settings, name: str | None, check: bool) -> None:
    """Show a context; without NAME, the server and the application that commands use now."""
    if name is not None:
        settings.give("context", name)
        document: dict[str, Any] = {"name": name, **settings.config.named(name).shown()}
    else:
        chosen = settings.given("context") or settings.environment.get("QUEUEY_CONTEXT") or settings.config.selected
        document = {"name": chosen, **settings.context.shown()}
        document.update(url=settings.url, application=settings.application)
    if check:
        began = time.monotonic()
        settings.client.promises()
        document["check"] = f"answered in {1000 * (time.monotonic() - began):.0f} ms"
    settings.output.record(document)


@context.command("select", epilog="queuey context select local")
@click.argument("name", shell_complete=_complete)
@click.pass_obj
def select(settings: Settings, name: str) -> None:
    """Select a context, for all commands without --context."""
    contexts.save(settings.config_path, settings.config.select(name))


@context.command("previous", epilog="queuey context previous")
@click.pass_obj
def previous(settings: Settings) -> None:
    """Select the context that was selected before."""
    config = settings.config
    if config.previous is None:
        raise Failure("no other context was selected before")
    contexts.save(settings.config_path, config.select(config.previous))
    settings.say(f"{config.previous} is selected")


@context.command("rm", epilog="queuey context rm shop")
@click.argument("name", shell_complete=_complete)
@click.pass_obj
def rm(settings: Settings, name: str) -> None:
    """Delete a context. The file with its key stays."""
    config = settings.config
    config.named(name)
    rest = {key: value for key, value in config.contexts.items() if key != name}
    selected = None if config.selected == name else config.selected
    contexts.save(settings.config_path, Config(rest, selected, None if config.previous == name else config.previous))
