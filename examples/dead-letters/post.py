"""Post payments, one of which nobody can work on yet."""

import asyncio
import os

from queuey_client.aio import Client

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")
PAYMENTS = (
    {"amount": 17, "currency": "EUR"},
    {"amount": 4, "currency": "XTS"},
    {"amount": 21, "currency": "EUR"},
)


async def main():
    async with Client(application="queuey", key=KEY) as client:
        payments = client.queue("payments")
        await payments.ensure()
        for number, payment in enumerate(PAYMENTS):
            key = f"payment-{number}"
            stored = await payments.post(payment, idempotency_key=key)
            print("posted:", stored.id)


asyncio.run(main())
