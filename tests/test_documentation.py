"""The documentation as a site: how it is laid out, and what its search finds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from queuey import __version__
from tests.http.described import document, inlined, operations
from tests.manual import DOCS, blocks, chapters, commands
from tests.parts import ROOT

WIDEST = 80
"""Columns of code: what fits beside the navigation, and into half of a window."""


def pages() -> list[Path]:
    """All pages, and those that a forge shows."""
    examples = sorted((ROOT / "examples").rglob("*.rst"))
    return [*sorted(DOCS.rglob("*.rst")), *examples, ROOT / "README.rst", ROOT / "CONTRIBUTING.rst"]


class CodeTests(SynchronousTestCase):
    """Blocks of code."""

    def test_columns(self) -> None:
        """No line of code is wider than the column, except one word that cannot be broken, such as an endpoint."""
        wide = [
            f"{page.relative_to(ROOT)}: {line}"
            for page in pages()
            for _, lines in blocks(page.read_text(encoding="utf-8"))
            for line in lines
            if len(line) > WIDEST and " " in line.strip()
        ]
        self.assertEqual(wide, [])

    def test_commands(self) -> None:
        """What is typed can be copied: it has no prompts, and is whole."""
        for page in pages():
            text = page.read_text(encoding="utf-8")
            self.assertEqual([*blocks(text, "console")], [], f"{page}: use bash, without prompts")
            for command in commands(text):
                self.assertNotRegex(command, r"(?m)^[$>] ", str(page))


class LinksTests(SynchronousTestCase):
    """What is linked by its path."""

    def test_readme(self) -> None:
        """Links of the README lead to files, so that they work on a forge."""
        links = re.findall(r"`[^`<]+<([^>`]+)>`_", (ROOT / "README.rst").read_text(encoding="utf-8"))
        self.assertGreater(len(links), 10)
        self.assertEqual([link for link in links if not (ROOT / link).is_file()], [])

    def test_chapters(self) -> None:
        """A guide that is split has each of its pages in its table of contents."""
        for folder in ("api-v2", "operations", "http-api"):
            self.assertEqual(sorted(chapters(folder)), sorted((DOCS / folder).glob("*.rst")))


class NamesTests(SynchronousTestCase):
    """What the pages name of the code."""

    def named(self, pages: list[Path], pattern: str) -> dict[str, Path]:
        """Literals that match a pattern, each with a page that has it."""
        return {
            name: page.relative_to(ROOT)
            for page in pages
            for name in re.findall(r"``([^`\n]+)``", page.read_text(encoding="utf-8"))
            if re.fullmatch(pattern, name)
        }

    def test_files(self) -> None:
        """Every module that a page names is there, by its path or by the end of it."""
        known = [
            "/" + path.relative_to(ROOT).as_posix()
            for folder in ("queuey", "client", "tests", "bench", "twisted", "docs", "etc", "examples")
            for path in (ROOT / folder).rglob("*.py")
        ]
        found = self.named(pages(), r"[\w./-]+\.py")
        self.assertGreater(len(found), 100)
        self.assertEqual(
            [f"{page}: {name}" for name, page in found.items() if not any(one.endswith("/" + name) for one in known)],
            [],
        )

    def test_classes(self) -> None:
        """Every class that the architecture names occurs in the code."""
        code = "\n".join(
            path.read_text(encoding="utf-8")
            for folder in ("queuey", "client/queuey_client")
            for path in (ROOT / folder).rglob("*.py")
        )
        words = set(re.findall(r"\w+", code))
        found = self.named(
            [DOCS / "architecture.rst", *(DOCS / "architecture").glob("*.rst")], r"(\w+\.)*[A-Z]\w*[a-z]\w*(\.\w+)?"
        )
        self.assertGreater(len(found), 20)
        self.assertEqual(
            [f"{page}: {name}" for name, page in found.items() if not words.issuperset(name.split("."))], []
        )

    def test_way_of_a_post(self) -> None:
        """Each way has ten steps, and a POST is followed by opening eight files at most."""
        text = (DOCS / "architecture.rst").read_text(encoding="utf-8")
        for kind in ("POST", "claim", "read"):
            way = re.split(r"\n[^\n]+\n-+\n", text.partition(f"The way of a {kind}\n")[2])[0]
            self.assertEqual(re.findall(r"(?m)^(\d+)\. ", way), [str(step) for step in range(1, 11)], kind)
        opened = text.partition("opens eight files:")[2].partition("\n\n")[0].partition(". The answer")[0]
        self.assertEqual(len(re.findall(r"``[\w/]+\.py``", opened)), 8)


class SiteTests(SynchronousTestCase):
    """What Sphinx builds."""

    run_in = "test"

    SOUGHT: Final = {
        "cor": "api-v2/browsers",
        "docker": "operations/install",
        "retent": "api-v2/concepts",
        "visibl": "api-v2/groups",
        "subscrib": "glossary",
        "topic": "glossary",
        "websocket": "api-v2/live",
        "dedupl": "api-v2/retries",
        "sse": "api-v2/live",
    }
    """Stems as the search has them (CORS is "cor"), and the page that explains each."""

    def test_site(self) -> None:
        """One build, since it takes long; each warning is an error."""
        with tempfile.TemporaryDirectory(prefix="queuey-test-") as folder:
            self.html = Path(folder) / "html"
            own = (sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html")
            command = [*own, "-d", f"{folder}/trees", str(DOCS), str(self.html)]
            built = subprocess.run(command, capture_output=True, text=True, timeout=600)
            self.assertEqual(built.returncode, 0, built.stderr)
            self.check_search()
            self.check_description()
            self.check_pages()

    def page(self, name: str) -> str:
        """A file of the site."""
        return (self.html / name).read_text(encoding="utf-8")

    def check_search(self) -> None:
        """The words that people look for are found where their subject is explained."""
        index = self.page("searchindex.js")
        found = json.loads(index[index.index("(") + 1 : index.rindex(")")])
        for stem, page in self.SOUGHT.items():
            names = set()
            for where in ("terms", "titleterms"):
                numbers = found[where].get(stem, [])
                names |= {found["docnames"][number] for number in (numbers if isinstance(numbers, list) else [numbers])}
            self.assertIn(page, names, stem)

    def check_description(self) -> None:
        """Every request of the API description is on the page of its tag, with its parameters; so is every object."""
        whole = document()
        for method, path, operation in operations(inlined()):
            for tag in operation["tags"]:
                text = re.sub("<[^>]+>", "", self.page(f"http-api/{tag}.html"))
                self.assertIn(f"{method} {path}", text)
                for parameter in operation["parameters"]:
                    self.assertIn(parameter["name"], text)
        schemas = self.page("http-api/schemas.html")
        for name, schema in whole["components"]["schemas"].items():
            if "properties" in schema:
                self.assertIn(f'id="schema-{name.lower()}"', schemas)

    def check_pages(self) -> None:
        """Each page shows the version, and has the links to the page before it or after it."""
        for name in ("index.html", "quickstart.html", "api-v2/groups.html", "runbook/QueueyDown.html"):
            text = self.page(name)
            self.assertIn(f"Queuey {__version__}", text)
            self.assertRegex(text, r'class="(next|prev)-page"', name)
