"""Characters that no name, principal or parameter may have."""

from __future__ import annotations

import re
from typing import Final

UNFIT: Final = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""Control characters and halves of surrogate pairs, as they stand between the brackets of a regular expression.

JSON can spell both (``"\\u0000"``, ``"\\ud800"``). Text with half of a surrogate pair cannot be encoded as UTF-8."""

_UNFIT: Final = re.compile(f"[{UNFIT}]")

_MAX_SHOWN: Final = 100


def is_fit(text: str) -> bool:
    """Whether text has no control character, line breaks included, and no half of a surrogate pair."""
    return _UNFIT.search(text) is None


def shown(text: str) -> str:
    """Return a client's value for an error message, shortened if it is long."""
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
