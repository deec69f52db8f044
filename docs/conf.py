"""How Sphinx builds the documentation; it needs no network."""

import queuey

project = "Queuey"
author = "The Queuey developers"
version = release = queuey.__version__
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "A RESTful message queue", "page_width": "66rem", "fixed_sidebar": True}
html_show_copyright = False
html_show_sourcelink = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
nitpicky = False
