"""Patterns of texts in answers: ``openapi.json`` describes exactly what the code makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.problems import CODES, TYPE
from queuey.http.v2.groups.groups import start_text
from queuey.model.groups.entries import TOKEN
from queuey.model.groups.receipts import RECEIPT
from queuey.model.reading.start import Start
from queuey.model.timeid import EPOCH, SECOND, Ticks, to_rfc3339
from tests.http.described import document

TIME: Final = Ticks(EPOCH + 1_764_159_283 * SECOND + 1_698_736)
LONG: Final = "a" * 128

TEXTS: Final[Mapping[str, tuple[list[str], list[str]]]] = {
    "Version": (["0f" * TOKEN, "0f" * 8], ["", "0f" * 7, "0f" * 9, "0F" * 8, "0f" * (TOKEN + 1)]),
    "Created": ([to_rfc3339(TIME)], ["2025-11-26T12:14:43Z", to_rfc3339(TIME)[:-1]]),
    "GroupStart": ([*map(start_text, Start), start_text(TIME)], ["", "now", "oldest ", "1764159283"]),
    "SecretId": (["0f" * 6], ["0f" * 5, "0f" * 7, "whsec_0f0f0f"]),
    "Receipt": (["A" * RECEIPT, "_-" * (RECEIPT // 2)], ["A" * (RECEIPT - 1), "A" * (RECEIPT + 1), "=" * RECEIPT]),
    "Problem/properties/type": ([TYPE + code for code in CODES], ["about:blank", TYPE]),
    "Problem/properties/instance": (["0f" * 16, "a.b_c~d+e/f=g:h@i-j", LONG], ["", f"{LONG}a", "a b", "é"]),
    "Problem/properties/incident": ([uuid4().hex], [str(uuid4()), "0f" * 15]),
}
"""By the place of a schema: texts as the code makes them, and texts that it never makes."""


class TextTests(SynchronousTestCase):
    """A client may check answers by these patterns."""

    def test_patterns(self) -> None:
        """Each matches what the code makes, and nothing else."""
        schemas = document()["components"]["schemas"]
        for place, (made, others) in TEXTS.items():
            found = schemas
            for part in place.split("/"):
                found = found[part]
            for text in (*made, *others):
                matches = re.search(found["pattern"], text) is not None
                self.assertEqual(matches, text in made, f"{place}: {text}")
