"""What a user's identity costs that is known already, against an application's key: POSTs and reads of one message.

python -m bench.identities [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import KEY, ask, free_port, make_queue, queuey_command, request, serving
from tests.live.identities.vouching import Issuer

SIZE = 140
CONNECTIONS = 32


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        issuer = Issuer()
        stack.callback(issuer.stop)
        port = free_port()
        command = queuey_command(folder, port)
        with (folder / "queuey.ini").open("a") as settings:
            settings.write(
                f"[application:bench]\nidentities = company\n"
                f"[jwt:company]\nissuer = {issuer.url}\naudience = queuey\nremember = 3600\n"
            )
        stack.enter_context(serving(command, port, folder / "servers.log"))
        make_queue(port, "q")
        principals = f'{{"principals": ["app:bench", "sub:{issuer.url}#ann"]}}'.encode()
        ask(port, "PATCH", "/v2/bench/queues/q", principals, "application/merge-patch+json")
        id = ask(port, "POST", "/v2/bench/queues/q/messages", b"x" * SIZE).json["messages"][0]["id"]
        # As long as those of well-known issuers are.
        token = issuer.token(exp=4_000_000_000, name="Ann Example", email="ann@example.org", groups=["x" * 12] * 12)
        posted = request("POST", "/v2/bench/queues/q/messages", b"x" * SIZE, Content_Type="text/plain")
        read = request("GET", f"/v2/bench/queues/q/messages/{id}")
        own = f"Application {KEY}".encode()
        for what, by, asked, other in (
            ("POST", "key and known user", posted, own + b"; Bearer " + token.encode()),
            ("GET", "known user", read, b"Bearer " + token.encode()),
        ):
            sides = {
                f"{what} by {name}": partial(figures.rate, name, port, CONNECTIONS, seconds, text)
                for name, text in (("key", asked), (by, asked.replace(own, other)))
            }
            key, user = figures.alternating(rounds, sides).values()
            figures.show(f"{what}, {by} / key", user / key, at_least=0.95)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
