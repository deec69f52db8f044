"""The tests. ``QUEUEY_LONG=1`` in the environment makes everything that is random try much more."""

import os

from hypothesis import settings

# No deadline for one example: on a busy machine it would fail what is right.
settings.register_profile("quick", deadline=None)
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile("long" if os.environ.get("QUEUEY_LONG") else "quick")
