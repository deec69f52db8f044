"""Run commands of the AWS CLI in one process: one line of JSON on the standard input has the arguments of one.

Each answer is a line of JSON too: the exit status, and what the command printed. A process of its own for each command
would take a second of processor time.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver

driver = create_clidriver()
for line in sys.stdin:
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = driver.main(json.loads(line))
        except SystemExit as end:
            status = end.code
    sys.stdout.write(json.dumps([status, output.getvalue(), errors.getvalue()]) + "\n")
    sys.stdout.flush()
