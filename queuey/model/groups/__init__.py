"""The rules of consumer groups: decisions on the state of one group in one partition.

``index`` holds a state that its owner changes in place, ``events`` are the changes, and ``claims``, ``settlements``,
``moves`` and ``places`` decide which events a command leads to. ``snapshot`` is a whole state as a value and as bytes.

A decision is a function of an index, a command and the time. It changes the index by events alone; each event is
applied as soon as it is decided, and kept in ``index.events``. The owner stores those events, or the rows that they
changed, and then calls ``index.stored()``; if storing fails it calls ``index.undo()``. It answers a command only after
its events are stored. A decision takes O(changes * log n) steps, n being the number of messages in flight.
"""
