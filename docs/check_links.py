"""Check that each internal link of a built site leads to an existing page and anchor.

Run ``python docs/check_links.py docs/_build``. It uses no network, and does not follow links to other hosts.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        """Record the links and anchors of a tag."""
        values = dict(attributes)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        self.links += [values[key] for key in ("href", "src") if values.get(key)]


def find_broken(root):
    """Yield each page with a broken link, and the link."""
    pages = {path.resolve(): Page(path) for path in sorted(root.rglob("*.html")) if "_static" not in path.parts}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            known = pages[target].anchors if target in pages else {parts.fragment}
            if not target.exists() or unquote(parts.fragment) not in known:
                yield path.relative_to(root.resolve()), link


def main(root):
    """Print the broken links; return 1 if there are any, otherwise 0."""
    if not any(Path(root).rglob("*.html")):
        sys.exit(f"no pages in {root}: build them by python -m sphinx docs {root}")
    broken = list(find_broken(Path(root)))
    for page, link in broken:
        print(f"{page}: {link}")
    print(f"{len(broken)} broken links")
    return min(len(broken), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
