"""How the documentation is built: ``sphinx-build -W docs site``."""

from __future__ import annotations

import aelastic

project = "aelastic"
author = "the aelastic developers"
version = release = aelastic.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = [
    "myst.xref_missing",  # links to files of the repository, which are not pages
    "ref.option",  # the help of the command speaks of options of torchrun that it only refuses
    "ref.python",  # aelastic.sync has the same names as aelastic
]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_display_short_literal_types = True
napoleon_custom_sections = [
    ("Ours", "params_style"),
    ("Of a supervisor, whose other fields tell of the last attempt of each rank", "params_style"),
    ("What the strategies mean when a rank fails", "params_style"),
]
html_theme = "furo"
html_title = "aelastic"
html_show_copyright = False
