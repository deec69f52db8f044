"""The core without I/O: requests and answers as values, and every call as a generator of what it needs done.

A call is a generator (:data:`~queuey_client.core.steps.Steps`). It yields :class:`~queuey_client.core.steps.Send` and
:class:`~queuey_client.core.steps.Sleep`, is sent what came of them, and returns the result of the call. Each face
drives the same generators: with threads, on asyncio, or on Twisted's reactor. Tests drive them with a list of answers.
"""
