"""Settings of Sphinx for the tree that `docs/stage.py` puts together: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sphinx.application import Sphinx

from docs.vfx_lexer import VfxLexer
from verifluxa import __version__

project = "Verifluxa"
author = "Verifluxa authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = f"Verifluxa {__version__}"
# Nothing comes from elsewhere: furo has no web fonts, and no page has a script but Sphinx's own search and the theme.
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
highlight_language = "text"
myst_heading_anchors = 4
myst_enable_extensions: list[str] = []
# Docstrings are written as Markdown is: single backticks are code.
default_role = "code"
add_module_names = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False


def setup(app: Sphinx) -> None:
    """Makes the colours of specs known."""
    app.add_lexer("vfx", VfxLexer)
