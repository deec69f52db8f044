"""What somebody who starts Queuey without a settings file is told."""

from __future__ import annotations

from queuey.config import DEVELOPMENT_APPLICATION, DEVELOPMENT_KEY, Settings, SQLiteStorage


def welcome(settings: Settings, addresses: list[str]) -> list[str]:
    """Lines that say where the daemon listens, who may use it, where its data are, and what to try."""
    storage, log = settings.storage, settings.logging.file
    authorization = f"-H 'Authorization: Application {DEVELOPMENT_KEY}'"
    url = f"http://{addresses[0]}/v1/{DEVELOPMENT_APPLICATION}"
    return [
        "",
        f"Queuey serves its built-in development settings on {', '.join(addresses)}.",
        f"  application  {DEVELOPMENT_APPLICATION}",
        f"  key          {DEVELOPMENT_KEY} (everybody knows it: for this machine only)",
        f"  data         {storage.path if isinstance(storage, SQLiteStorage) else 'in memory'}",
        f"  log          {log or 'here, on standard error'}",
        "Try this; Ctrl-C stops the daemon:",
        f"  curl {authorization} -d queue_name=first {url}",
        "",
    ]
