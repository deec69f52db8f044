"""How Queuey is packaged: what is in a wheel, and what it needs.

``constraints.txt`` has the exact versions that everything here was tested with.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """Read the version without importing the package, whose dependencies need not be there yet."""
    text = (HERE / "queuey" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("queuey/__init__.py names no version")
    return found.group(1)


TLS = ["Twisted[tls]"]
# Our connection class uses what the driver keeps for its own, so each new minor version is tried before it is allowed.
CASSANDRA = ["cassandra-driver>=3.30,<3.31"]
THRIFT = [*CASSANDRA, "thriftpy2>=0.7,<0.8"]
# Who users are: what asks verifiers and issuers, and what checks signatures of tokens.
IDENTITIES = ["treq>=25.5", "PyJWT[crypto]>=2.12,<3"]
# What sends pushes over TLS, and seals their secrets.
PUSH = [*TLS, "cryptography>=44"]
# What exports traces; the exporter is made for one minor version of the SDK.
OTEL = ["opentelemetry-sdk>=1.40,<2", "opentelemetry-exporter-otlp-proto-http>=1.40,<2"]
# llhttp, another strict reader of HTTP, which the tests compare with ours.
LLHTTP = ["httptools>=0.9,<0.10"]
# What publishes to RabbitMQ, in the benchmark of peers; and what other clients are made of, in that of clients.
BENCH = ["httpx>=0.28,<1", "pika>=1.4,<2", "requests>=2.32"]
# What the client in client/ needs for its faces; the Makefile installs it beside this package.
CLIENT = ["aiohttp>=3.10,<4", "click>=8.1.7,<9", "qrcode>=8,<9", "rich>=13,<16", "urllib3>=2"]
# The library by which receivers verify pushes.
WEBHOOKS = ["standardwebhooks>=1.1,<2"]
UNIT = ["hypothesis>=6.100", *BENCH, *CLIENT, *LLHTTP, *IDENTITIES, *OTEL, *PUSH, *THRIFT, *WEBHOOKS]
TEST = [
    *UNIT,
    *TLS,
    # A client of Amazon SQS, and the model that our table of its operations is compared with.
    "boto3>=1.40,<2",
    "coverage>=7.9",
    # What a receiver of pushes in the documentation is made of.
    "flask>=3.1,<4",
    "import-linter>=2.1",
    "mypy>=1.15",
    "mypy-zope>=1.0.11",
    # Makes a client of the API description, which a test uses.
    "openapi-python-client>=0.29,<0.30",
    "packaging>=24",
    # What an example books into PostgreSQL with.
    "psycopg[binary]>=3.2,<4",
    # Reads the expressions of alerts and of the dashboard, and the file that has the alerts.
    "promql-parser>=0.12,<0.13",
    "PyYAML>=6",
    "ruff>=0.11",
    # Asks a daemon everything that its own description allows, and what it forbids, and compares the answers.
    "schemathesis>=4.32,<5",
    # What it holds values against their schemas with; so do tests of the description.
    "jsonschema_rs",
    "setuptools>=77",
    "types-PyYAML",
]
# What joins the command "queuey"; queuey_client.cli.joining says what each does.
COMMANDS = ["check", "config", "keys", "backup", "restore-queue", "copy", "schema", "ops"]
DOCS = ["Sphinx>=8", "furo>=2025.9", "sphinx-copybutton>=0.5.2,<0.6"]

# The samples of etc/, by way of the link queuey/samples; all but what sets up a Cassandra to develop with.
SAMPLES = [
    f"samples/{name}"
    for name in ("*.ini", "default/*", "grafana/*", "haproxy/*", "logrotate/*", "nginx/*", "prometheus/*", "systemd/*")
]
SAMPLES += ["samples/sysusers.d/*", "samples/tmpfiles.d/*"]

setup(
    name="queuey",
    version=version(),
    description="A RESTful message queue: a daemon that keeps messages, an HTTP API, and nothing else to run.",
    author="The Queuey developers",
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords=["message queue", "REST", "HTTP", "Twisted", "Klein", "SQLite", "Cassandra"],
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    # The versions that the tests run on; pip refuses the others.
    python_requires=">=3.11,<3.14",
    # Found packages are queuey's alone; "twisted.plugins" is a folder inside another project's package, without an
    # __init__.py of ours, and twistd finds the command by it.
    packages=[*find_packages(include=["queuey", "queuey.*"]), "twisted.plugins"],
    package_data={
        "queuey": ["py.typed", "dashboard/*", "http/v2/openapi.json", "storage/cassandra/schema/*.cql", *SAMPLES]
    },
    zip_safe=False,
    install_requires=[
        "apsw>=3.51.3.0",
        "attrs>=24.2",
        "cronsim>=2.7,<3",
        "klein>=24.8,<25",
        "msgspec>=0.20,<1",
        # Time zones for systems that have none.
        "tzdata",
        # The command "queuey".
        "queuey-client[cli]>=2.0.0.dev0",
        "multipart>=2,<3",
        "prometheus-client>=0.25,<1",
        # The door uses private names of twisted.web, so each new major version is tried before it is allowed.
        "Twisted>=26.10,<27",
        # We replace a part of its only resource, so each new version is tried before it is allowed.
        "txJSON-RPC>=0.5,<0.6",
        "Werkzeug>=3.1,<4",
        "zope.interface>=7",
    ],
    extras_require={
        "tls": TLS,
        "unit": UNIT,
        "test": TEST,
        "docs": DOCS,
        "cassandra": CASSANDRA,
        "thrift": THRIFT,
        "identities": IDENTITIES,
        "push": PUSH,
        "otel": OTEL,
        "dev": [*TEST, *DOCS, "towncrier>=24.8"],
    },
    # The script "queuey" is that of queuey-client; what is done beside the daemon joins it.
    entry_points={"queuey.commands": [f"{name} = queuey.cli:command" for name in COMMANDS]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP",
        "Typing :: Typed",
    ],
)
