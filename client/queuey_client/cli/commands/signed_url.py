"""``queuey signed-url``."""

from __future__ import annotations

import io

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import DURATION
from queuey_client.cli.failures import Failure
from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings
from queuey_client.core.signing import MAX_RATE, OPERATIONS


@click.command(
    "signed-url",
    cls=Command,
    epilog="queuey signed-url orders read 10m\nqueuey signed-url orders read,write 1d --rate 5",
)
@click.argument("queue", nargs=-1, required=True, shell_complete=completing.queues)
@click.argument("operations", metavar="(read|write|claim|delete)[,...]")
@click.argument("duration", metavar="DURATION", type=DURATION)
@click.option("--rate", type=click.IntRange(1, MAX_RATE), metavar="N", help="allow at most N requests a second")
@click.option("--events", is_flag=True, help="make it a live read, for EventSource in a browser; needs read")
@click.option("--qr", is_flag=True, help="also draw the URL as a QR code, on a terminal")
@click.pass_obj
def signed_url(
    settings: Settings,
    queue: tuple[str, ...],
    operations: str,
    duration: float,
    rate: int | None,
    events: bool,
    qr: bool,
) -> None:
    """Print a URL with which somebody can use a queue without a key, for a while.

    The URL allows the named operations until DURATION (such as 10m) is over. It is signed with the application's key on
    this computer; the server is not asked.
    """  # fmt: skip
    output = settings.output
    if qr and not output.terminal:
        raise click.UsageError("--qr draws on a terminal, and the output is none")
    chosen = [each for each in operations.split(",") if each]
    unknown = [each for each in chosen if each not in OPERATIONS]
    if unknown or not chosen:
        raise click.UsageError(f"operations are one or more of {', '.join(sorted(OPERATIONS))}, separated by commas")
    if events and "read" not in chosen:
        raise click.UsageError("--events needs the operation read")
    # EventSource gives up if it is refused, so refusals that may pass come as events.
    path, end = ("events", "&errors=events") if events else ("messages", "")
    rows = []
    for name in queue:
        url = settings.client.queue(name).signed_url(chosen, duration, rate=rate, path=path) + end
        row = {"queue": name, "url": url}
        rows.append((row, {**row, "operations": chosen, "seconds": duration, "rate": rate}))
    if not output.tables or output.columns is not None:
        output.rows(("queue", "url"), rows)
        return
    for row, _ in rows:
        # Not in a table, which would cut it.
        output.line(row["url"])
        if qr:
            output.line(_qr_code(row["url"]))


def _qr_code(text: str) -> str:
    try:
        import qrcode
    except ImportError:
        raise Failure("--qr needs a package: pip install 'queuey-client[qr]'") from None
    code = qrcode.QRCode(border=2)
    code.add_data(text)
    target = io.StringIO()
    code.print_ascii(target, invert=True)
    return target.getvalue().rstrip("\n")
