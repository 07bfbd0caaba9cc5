"""How Sphinx builds these pages: ``sphinx-build -W -b html docs OUT``."""

import gatepass

project = "gatepass"
copyright = "the gatepass authors"
author = "the gatepass authors"
release = gatepass.__version__
version = release

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = f"gatepass {release}"
html_copy_source = False
html_show_sourcelink = False

myst_heading_anchors = 3
# Values such as "..." would become one character.
smartquotes = False

nitpicky = True  # a link that leads nowhere is a warning
