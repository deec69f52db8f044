"""The face for asyncio, on aiohttp: the same names as in :mod:`queuey_client`.

.. code-block:: python

   from queuey_client.aio import Client

   async with Client("http://127.0.0.1:5000", "queuey", key="...") as client:
       orders = client.queue("orders")
       await orders.post({"pears": 3})
       async for message in orders.messages():
           print(message.json())
"""

from queuey_client.aio.client import Client
from queuey_client.aio.group import Group
from queuey_client.aio.push import Push
from queuey_client.aio.queue import Queue
from queuey_client.aio.schedule import Schedule
from queuey_client.aio.worker import Worker
from queuey_client.aio.writer import Writer
from queuey_client.awaiting.deliveries import AsyncDeliveries as Deliveries
from queuey_client.awaiting.runtime import AsyncStreamingTransport as StreamingTransport
from queuey_client.awaiting.runtime import AsyncTransport as Transport

__all__ = [
    "Client",
    "Deliveries",
    "Group",
    "Push",
    "Queue",
    "Schedule",
    "StreamingTransport",
    "Transport",
    "Worker",
    "Writer",
]
