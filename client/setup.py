"""How the Python client is packaged. It knows nothing of the daemon: a program that posts needs no Twisted."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """Read the version without importing the package, whose dependencies need not be there yet."""
    text = (HERE / "queuey_client" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("queuey_client/version.py names no version")
    return found.group(1)


setup(
    name="queuey-client",
    version=version(),
    description="A client of Queuey, the RESTful message queue: producers, readers and workers.",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    python_requires=">=3.9",
    packages=find_packages(include=["queuey_client", "queuey_client.*"]),
    package_data={"queuey_client": ["py.typed"]},
    zip_safe=False,
    install_requires=["urllib3>=2"],
    extras_require={
        "asyncio": ["aiohttp>=3.10,<4"],
        "twisted": ["treq>=24", "Twisted>=24.3"],
        "cli": ["click>=8.1.7,<9", "rich>=13,<16", "tomli>=2; python_version<'3.11'"],
        "qr": ["qrcode>=8,<9"],
        "otel": ["opentelemetry-api>=1.20,<2"],
    },
    # The daemon's package has no script of its own: it needs this one, and its commands join by entry points.
    entry_points={"console_scripts": ["queuey = queuey_client.cli:run"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Framework :: Twisted",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
)
