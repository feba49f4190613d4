"""Include files from the root of the repository as pages, with their links adapted to this site."""

from __future__ import annotations

import re
from pathlib import Path

from sktricks._project import HOMEPAGE

ROOT = Path(__file__).parents[1]
PAGES = {"benchmarks": "benchmarks/RESULTS.md", "changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")


def adapt(match):
    """Convert a link from the root of the repository to a link from this folder, or to one into the repository."""
    target = match[1]
    if target.startswith("docs/"):
        target = target.removeprefix("docs/")
    elif target.startswith("examples/"):
        target = f"auto_{target.removesuffix('.py')}.rst"
    else:
        target = f"{HOMEPAGE}/blob/main/{target}"
    return f"]({target})"


def read_page(app, docname, source):
    """Replace the content of a page with that of its file."""
    if docname in PAGES:
        path = ROOT / PAGES[docname]
        source[0] = LINK.sub(adapt, path.read_text(encoding="utf-8"))
        app.env.note_dependency(str(path))


def setup(app):
    """Register the reader."""
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True}
