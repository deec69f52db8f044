"""The rules of consumer groups: what may happen to the state of one group in one partition.

``index`` holds a state that its owner changes in place, ``events`` are the changes, and ``claims``, ``settlements``,
``moves`` and ``places`` decide which events a command leads to. ``snapshot`` is a whole state as a value and as bytes.

A decision is a function of an index, a command and the time. It changes the index by events alone, each of which is
applied as soon as it is decided and kept in ``index.events``. The owner stores those events, or the rows that they have
changed, and then calls ``index.stored()``; if storing fails it calls ``index.undo()``. It answers a command only after
its events are stored. All of a decision takes O(changes * log n) steps, n being the messages in flight.
"""
