"""Values that exist in large numbers: each message of a batch is some ten of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen
else:
    from functools import partial

    from attrs import define

    # To make a value that refuses changes as the program runs takes nearly three times as long as one that the type
    # checker keeps from being changed, which was a tenth of all work on a batch.
    frozen = partial(define, unsafe_hash=True)

__all__ = ["frozen"]
