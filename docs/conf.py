"""How Sphinx builds these pages: ``sphinx-build -W -b html docs OUT``."""

import gatepass

project = "gatepass"
copyright = "the gatepass authors"
author = "the gatepass authors"
release = gatepass.__version__
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = f"gatepass {release}"
html_copy_source = False
html_show_sourcelink = False

myst_heading_anchors = 3
# Values such as "..." would become one character.
smartquotes = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

nitpicky = True  # a link that leads nowhere is a warning
# Names of other projects, and our own that no page describes, need no link.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|contextlib|os|pathlib|requests|typing|types)\..*"),
    (r"py:.*", r"KeyringBackend"),
    (r"py:.*", r"gatepass\.(_|secrets\._reference).*"),
    (r"py:.*", r"gatepass\.(sandbox|integrations\.pygranta)\.(_.*|Builder|Client)"),
    (r"py:.*", r"gatepass\.integrations\.stk\.StkArguments"),
    (r"py:.*", r"ProviderRequest|Vault"),
    (r"py:.*", r"(gatepass\.auth\.Resolver|Authenticator|ReferenceSyntaxError)"),
    (r"py:.*", r"MergedProfile|ProfileKe\w+"),
    (r"py:.*", r"tuple\[.*"),  # an alias that is written out
]
