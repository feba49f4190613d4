"""Define the order of the examples, and the directive ``examples``, which shows some of them in the course."""

from __future__ import annotations

import re
from pathlib import Path

from docutils.parsers.rst import Directive

PAGE = Path(__file__).with_name("course.rst")
ORDER = re.findall(r"^    (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def place(name):
    """Return the index of an example, given by its file name, in the course."""
    return ORDER.index(Path(name).stem)


class Examples(Directive):
    """Show the examples in the content, one name per line, and list them in the navigation."""

    has_content = True

    def run(self):
        """Insert a toctree and thumbnails."""
        toctree = [".. toctree::", "   :hidden:", "", *(f"   auto_examples/{name}" for name in self.content), ""]
        thumbnails = [".. minigallery::", "", *(f"   ../examples/{name}.py" for name in self.content), ""]
        self.state_machine.insert_input(toctree + thumbnails, str(PAGE))
        return []


def setup(app):
    """Register the directive."""
    app.add_directive("examples", Examples)
    return {"parallel_read_safe": True}
