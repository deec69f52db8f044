"""Show the dead letters of the payments, or take all of them back:

letters.py
letters.py redrive
"""

import asyncio
import os
import sys

from queuey_client.aio import Client

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")


async def main():
    async with Client(application="queuey", key=KEY) as client:
        if sys.argv[1:] == ["redrive"]:
            group = client.queue("payments").group("bookkeepers")
            print("taken back:", (await group.redrive(all=True)).moved)
            return
        async for letter in client.queue("failed-payments").messages():
            about = letter.headers["queuey-dead-letter"]
            print(letter.text, about)


asyncio.run(main())
