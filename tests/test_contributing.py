"""CONTRIBUTING.md names every file of the package, and no other."""

import re
from pathlib import Path

import pytest

import sktricks

ROOT = Path(sktricks.__file__).parent
PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def files_on_the_map():
    text = PAGE.read_text(encoding="utf-8").partition("## A map of the package")[2]
    folder, found = None, []
    for line in text.splitlines():
        if match := re.match(r"\*\*`sktricks/(.*?)`\*\*", line):
            folder = match[1]
        elif match := re.match(r"- `(.+?\.py)`: \S", line):
            found.append(folder + match[1])
    return found


def test_the_map_names_every_file_once():
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if path.name != "__init__.py"]
    assert sorted(files_on_the_map()) == sorted(files)


def test_a_file_name_occurs_once():
    names = [path.name for path in ROOT.rglob("*.py") if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


PATHS = set(re.findall(r"`((?:tests|benchmarks|sktricks)/[\w/.-]+)`", PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(path for path in PATHS if "demo" not in path))  # of a made-up source
def test_paths_on_the_page_exist(path):
    assert (PAGE.parent / path).exists()
