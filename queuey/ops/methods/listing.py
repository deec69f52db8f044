"""The parameters of methods that list what an application has in its queues, page by page."""

from __future__ import annotations

from enum import Enum

from queuey.model.fields import LIMIT
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.parameters import TEXT, Parameter, number, word


def listing(states: type[Enum]) -> tuple[Parameter, ...]:
    """Return the parameters: the application, a queue and a state to choose by, and the page.

    :param states: the states that there are.
    """
    return (
        APPLICATION,
        Parameter("queue", TEXT),
        Parameter("state", word(*(state.value for state in states))),
        Parameter("after", TEXT),
        Parameter("limit", number(LIMIT)),
    )
