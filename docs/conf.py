"""How Sphinx builds the documentation; it needs no network."""

import sys
from pathlib import Path

import queuey

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "Queuey"
author = "The Queuey developers"
version = release = queuey.__version__
extensions = ["sphinx.ext.autodoc", "sphinx_copybutton", "described"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Queuey {release}"
html_static_path = ["_static"]
html_css_files = ["queuey.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

# All colours of the first have a contrast of at least 4.5, which those of "friendly" do not have.
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "monokai"

# Only what is typed is copied from a console, not what is answered.
copybutton_prompt_text = r"\$ |> "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
nitpicky = False
