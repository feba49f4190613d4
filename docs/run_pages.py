"""Run the Python blocks of pages, each page from top to bottom in a new folder, for pages of docs/ with some photos.

``python docs/run_pages.py`` runs README.md and all pages of the guide, ``python docs/run_pages.py start searching``
only two of them. Use ``{code-block} python`` for blocks that are shown but not run.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

HERE = Path(__file__).parent
INCLUDED = {"benchmarks", "changelog", "contributing"}
SIDE = 128  # pixels of a photo


def make_photos(folder):
    """Write 30 photos as photos/<split>/<class>/<n>.jpg, and some new ones."""
    for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
        for number in range(15):
            y, x = SIDE * (number // 5), SIDE * (number % 5)
            tile = Image.fromarray(photo[y : y + SIDE, x : x + SIDE])
            for part in ("train" if number % 2 else "test", *(["new"] if number < 3 else [])):
                path = folder / (f"photos/{part}/{name}" if part != "new" else "new_photos") / f"{name}{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                tile.save(path, quality=95)


def read_blocks(page):
    """Yield the number of the first line and the code of each Python block of a page."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield text.count("\n", 0, match.start(1)) + 1, match[1]


def run_page(page):
    """Run the blocks of a page in one namespace; return True unless one of them fails or warns."""
    names = {"__name__": "page"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
        warnings.filterwarnings("error", module="page")
        if page.parent == HERE:  # README.md writes its own photos
            make_photos(Path(folder))
        for line, code in read_blocks(page):
            padded = "\n" * (line - 1) + code  # so that a traceback names the line of the page
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(padded, str(page), "exec"), names)  # noqa: S102
            except Exception:
                traceback.print_exc()
                return False
    return True


def main(arguments):
    """Run pages; return the number of failed pages."""
    os.environ["MPLBACKEND"] = "agg"
    pages = [Path(name) if name.endswith(".md") else HERE / f"{name}.md" for name in arguments]
    pages = pages or [HERE.parent / "README.md", *(p for p in sorted(HERE.glob("*.md")) if p.stem not in INCLUDED)]
    failed = 0
    for page in pages:
        before = time.process_time()
        good = run_page(page.resolve())
        failed += not good
        print(
            f"{page.name:28}{'passed' if good else 'FAILED'}{time.process_time() - before:8.1f} s of processor time",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
