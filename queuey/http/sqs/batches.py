"""The common parts of all batch operations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.http.sqs.errors import SqsError
from queuey.http.sqs.operations import MAX_ENTRIES, Member, Members, read

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


@attrs.define
class Batch:
    """The entries of a batch, and the result of each.

    :ivar entries: the members of those that are right so far, by their index in the request.
    :ivar failed: the errors of the others.
    """

    given: Sequence[Mapping[str, Any]]
    entries: dict[int, Members]
    failed: dict[int, SqsError]

    def fail(self, place: int, error: SqsError) -> None:
        """Note that an entry has failed."""
        self.failed[place] = error
        self.entries.pop(place, None)

    def answer(self, successful: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the answer.

        :param successful: the result of each entry that did not fail, by its index.
        """
        found: dict[str, Any] = {
            "Successful": [{"Id": self.given[place]["Id"], **successful[place]} for place in sorted(successful)]
        }
        if self.failed:
            found["Failed"] = [
                {
                    "Id": self.given[place]["Id"],
                    "SenderFault": error.status < 500,
                    "Code": error.old_code,
                    "Message": error.text,
                }
                for place, error in sorted(self.failed.items())
            ]
        return found


def batch(operation: str, given: Sequence[Mapping[str, Any]], members: tuple[Member, ...]) -> Batch:
    """Return the entries of a batch.

    :param operation: of one entry, by which AWS calls them.
    :param members: of an entry.
    :raise SqsError: the batch as a whole is wrong.
    """
    if not given:
        raise SqsError(
            "EmptyBatchRequest", f"There should be at least one {operation}BatchRequestEntry in the request."
        )
    if len(given) > MAX_ENTRIES:
        text = f"Maximum number of entries per request are {MAX_ENTRIES}. You have sent {len(given)}."
        raise SqsError("TooManyEntriesInBatchRequest", text)
    seen = set[str]()
    for one in given:
        id = one.get("Id")
        if not isinstance(id, str) or _ID.fullmatch(id) is None:
            text = (
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long."
            )
            raise SqsError("InvalidBatchEntryId", text)
        if id in seen:
            raise SqsError("BatchEntryIdsNotDistinct", f"Id {id} repeated.")
        seen.add(id)
    found = Batch(given, {}, {})
    for place, one in enumerate(given):
        try:
            found.entries[place] = read(members, one)
        except SqsError as error:
            found.fail(place, error)
    return found
