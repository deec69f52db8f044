"""The worker of the web application: counts the words of each text.

Start as many of them as you like; each job goes to one of them at a time.
"""

import os
import time
from collections import Counter

from queuey_client import Client

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")

client = Client(application="queuey", key=KEY)
jobs = client.queue("jobs")
results = client.queue("results")


def count_words(job):
    time.sleep(0.5)  # slow work; the lease is extended meanwhile
    words = Counter(job.body.decode("utf-8", "replace").lower().split())
    text = "".join(f"{count} {word}\n" for word, count in words.most_common(5))
    # The key is the job. If a job is done twice, because a worker was killed in
    # the middle, its result is stored once.
    results.post(
        text or "no words\n", headers={"job": job.id}, idempotency_key=job.id
    )
    print("done:", job.id, flush=True)


jobs.ensure()
results.ensure(ttl=86400)
counters = jobs.group("counters")
counters.ensure(max_deliveries=5)
# Works until Ctrl-C or SIGTERM, and finishes what it has begun.
raise SystemExit(counters.worker(count_words, threads=4).run())
