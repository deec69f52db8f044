"""Sends tasks: each line of the standard input is a list in JSON, the name of a task and its arguments.

It prints a line when a task is accepted. A task that is not accepted is sent again for as long as it takes.
"""

import json
import sys
import time

from celery_tasks import app  # type: ignore[import-not-found]  # it is beside this program

for line in sys.stdin:
    name, *arguments = json.loads(line)
    while True:
        try:
            app.send_task(name, arguments)
        except Exception as error:
            sys.stderr.write(f"{name} {arguments}: {error!r}\n")
            time.sleep(0.2)
        else:
            break
    sys.stdout.write("accepted\n")
    sys.stdout.flush()
