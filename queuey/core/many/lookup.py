"""Looking up the queues of a choice in a store."""

from __future__ import annotations

from typing import Final

from queuey.core.many.chosen import ChosenQueues
from queuey.interfaces import IStore
from queuey.model.queues.choice import QueueChoice
from queuey.model.queues.queue import Queue

NAMES_AT_ONCE: Final = 1000
DESCRIBED_AT_ONCE: Final = 200
"""Names that are listed, and queues that are looked up, in one call of the store."""

Found = dict[str, Queue | None]
"""Queues by name; ``None`` for a name without a queue."""


async def outdated(store: IStore, chosen: ChosenQueues) -> tuple[Found, bool]:
    """Look up the queues of a choice that are not known, or not as they are.

    :return: them, and whether these are all queues of the choice. If it fails, they stay outdated.
    """
    choice = chosen.choice
    stale, names = chosen.stale, chosen.outdated
    chosen.stale, chosen.outdated = False, set()
    try:
        if stale:
            names = set(choice.names)
            for prefix in choice.prefixes:
                names |= set(await _listed(store, choice, prefix))
        return await _described(store, choice.application, sorted(names)), stale
    except BaseException:
        chosen.stale = chosen.stale or stale
        chosen.outdated |= names
        raise


async def _listed(store: IStore, choice: QueueChoice, prefix: str) -> list[str]:
    found: list[str] = []
    start = ""
    while True:
        some = await store.names(choice.application, start, NAMES_AT_ONCE, prefix)
        found += some
        if len(some) < NAMES_AT_ONCE:
            return found
        start = some[-1] + "\0"


async def _described(store: IStore, application: str, names: list[str]) -> Found:
    found: Found = {}
    for at in range(0, len(names), DESCRIBED_AT_ONCE):
        some = names[at : at + DESCRIBED_AT_ONCE]
        found.update(zip(some, await store.describe(application, some), strict=True))
    return found
