"""How Sphinx builds these pages: ``sphinx-build -W -b html docs OUT``."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

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
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = [("pages.js", {"defer": "defer"})]

myst_heading_anchors = 3
# Values such as "..." would become one character.
smartquotes = False

nitpicky = True  # a link that leads nowhere is a warning


class Captions(SphinxTransform):
    """A paragraph in bold before a block of code, as a forge shows it, becomes its caption."""

    default_priority = 400

    def apply(self, **_: object) -> None:
        """Look before each block."""
        for block in list(self.document.findall(nodes.literal_block)):
            before = block.parent[block.parent.index(block) - 1]
            parts = [part for part in before.children if part.astext()]  # MyST adds empty texts
            if isinstance(before, nodes.paragraph) and [*map(type, parts)] == [nodes.strong]:
                caption = nodes.caption(before.rawsource, "", *parts[0].children)
                wrapper = nodes.container("", literal_block=True, classes=["literal-block-wrapper"])
                block.replace_self(wrapper)
                wrapper += [caption, block]
                self.document.set_id(wrapper)
                before.parent.remove(before)


def setup(app: Sphinx) -> None:
    """Let Sphinx know the transform."""
    app.add_transform(Captions)
