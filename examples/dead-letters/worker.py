"""A worker on asyncio that knows some currencies: worker.py CURRENCY..."""

import asyncio
import os
import sys

from queuey_client import Reject
from queuey_client.aio import Client

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")
CURRENCIES = sys.argv[1:]


async def book(delivery):
    payment = delivery.json()
    if payment["currency"] not in CURRENCIES:
        # To try it again would not help: it becomes a dead letter.
        raise Reject(f"unknown currency {payment['currency']}")
    print("booked:", payment["amount"], payment["currency"], flush=True)


async def main():
    async with Client(application="queuey", key=KEY) as client:
        payments = client.queue("payments")
        await payments.ensure()
        await client.queue("failed-payments").ensure()
        group = payments.group("bookkeepers")
        # What fails by other errors is a dead letter after 5 deliveries.
        await group.ensure(dead_letter="failed-payments", max_deliveries=5)
        return await group.worker(book).run()


raise SystemExit(asyncio.run(main()))
