"""The settings of the section ``[sqs]``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.declared import RESTART, setting
from queuey.config.kinds.endpoints import ALLOWED, endpoints
from queuey.config.kinds.kinds import Kind, lines_text, member, optional
from queuey.config.kinds.urls import base
from queuey.config.mistakes import Mistake, shown
from queuey.model.applications.application import ALLOWED_NAME, name_is_good

_SECTION: Final = "sqs"


class Signatures(Enum):
    """How signatures of clients of Amazon SQS are handled."""

    CHECK = "check"
    IGNORE = "ignore"


def _name(text: str, base: Path) -> str:
    if not name_is_good(text):
        raise Mistake(f"{shown(text)} is not a name of an application")
    return text


@attrs.frozen
class SqsSettings:
    """Clients of Amazon SQS.

    :ivar listen: endpoint descriptions as Twisted reads them, on which SQS alone is served; without any it is served on
        the clients' port alone.
    :ivar url: the URL below which clients reach the queues, without a slash at its end; ``None``: as each client has
        reached us.
    :ivar application: the application that all clients are if their signatures are ignored; ``None``: they are checked.
    """

    listen: tuple[str, ...] = setting(_SECTION, "listen", Kind(ALLOWED, endpoints, lines_text), "", RESTART)
    url: str | None = setting(_SECTION, "url", optional(Kind("a URL of https or http", base)), "", RESTART)
    signatures: Signatures = setting(_SECTION, "signatures", member(Signatures), Signatures.CHECK.value, RESTART)
    application: str | None = setting(_SECTION, "application", optional(Kind(ALLOWED_NAME, _name)), "", RESTART)

    @property
    def everyone(self) -> str | None:
        """The application that everyone is whose request has a signature, whatever it is; ``None``: of its key."""
        return self.application if self.signatures is Signatures.IGNORE else None
