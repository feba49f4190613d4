"""Configuration of the documentation: ``python -m sphinx -W -n docs docs/_build``, without a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sklearn.experimental import enable_halving_search_cv  # noqa: F401  an example uses it, and sphinx-gallery looks it up

import sktricks
from sktricks._project import DOCS, HOMEPAGE

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "sktricks"
author = copyright = "the sktricks developers"
version = release = sktricks.__version__

extensions = [
    "_course",
    "_included",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_inventories", "auto_examples/index.rst", "**/sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "literal"
nitpicky = True
smartquotes = False  # keeps quotes in parameters copyable

# -- Markdown ----------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# -- API: one page per name, from its docstring ------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections state types in words
autodoc_member_order = "groupwise"
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False  # since the template lists methods

# -- the course: examples/ as pages, in the order of course.rst --------------------------------------------------------

NOT_RUN = ("mnist", "pretrain_table", "pretrain_tiny32", "serve_mosec")  # take hours, or require a network or a server


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": rf"/(?!{'|'.join(NOT_RUN)})\w+\.py",
    "within_subsection_order": "_course.place",
    "backreferences_dir": "generated/backreferences",
    "doc_module": "sktricks",
    "reference_url": {"sktricks": None},
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "matplotlib_animations": False,
    "download_all_examples": False,
}
os.environ.setdefault("MPLBACKEND", "agg")

# -- links to other projects, from inventories in this repository (see _inventories/README.md) -------------------------

intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "_inventories/python.inv"),
    "sklearn": ("https://scikit-learn.org/stable/", "_inventories/sklearn.inv"),
    "torch": ("https://docs.pytorch.org/docs/stable/", "_inventories/torch.inv"),
    "joblib": ("https://joblib.readthedocs.io/en/stable/", "_inventories/joblib.inv"),
}

# -- HTML --------------------------------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "sktricks"
html_baseurl = DOCS + "/"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_sidebars = {page: [] for page in ("start", "benchmarks", "changelog", "contributing")}  # they have no subpages
html_theme_options = {
    "icon_links": [{"name": "GitHub", "url": HOMEPAGE, "icon": "fa-brands fa-github"}],
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
}
