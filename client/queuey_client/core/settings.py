"""Where a client takes what its caller does not say: from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from queuey_client.core.retry import Retry, Seconds, in_seconds
from queuey_client.core.session import Credentials, Secret, Session

DEFAULT_URL = "http://127.0.0.1:5000"


def secret_of_file(path: str) -> Callable[[], str]:
    """Return a function that reads a key from a file, so that it is read again after a 401."""

    def read() -> str:
        return Path(path).read_text(encoding="utf-8").strip()

    return read


def session_of(
    url: str | Sequence[str] | None,
    application: str | None,
    key: Secret | None,
    token: Secret | None,
    retry: Retry | None,
    timeout: Seconds,
    user_agent: str,
    *,
    signed: tuple[tuple[str, str], ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Session:
    """Make what a client's calls share. What is ``None`` comes from the environment.

    :raise ValueError: if no application is named, or an address is none.
    """
    known = os.environ if environment is None else environment
    if url is None:
        url = known.get("QUEUEY_URL") or DEFAULT_URL
    if application is None:
        application = known.get("QUEUEY_APPLICATION")
    if not application:
        raise ValueError("which application? Name it, or set QUEUEY_APPLICATION")
    if key is None and token is None and not signed:
        file = known.get("QUEUEY_KEY_FILE")
        key = known.get("QUEUEY_KEY") or (secret_of_file(file) if file else None)
    return Session(
        [url] if isinstance(url, str) else list(url),
        application,
        credentials=Credentials(key, token),
        retry=Retry() if retry is None else retry,
        timeout=in_seconds(timeout),
        user_agent=user_agent,
        signed=signed,
    )
