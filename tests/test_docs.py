"""The documentation has a place for every public name, warning and example, and its links lead to files that exist."""

import re
from pathlib import Path

import pytest

import sktricks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
UNNAMED = {"DivergenceError", "UnreadableImageError"}  # errors that users meet and have no reason to catch
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("_inventories/*.md")])


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_api_lists_every_public_name_once():
    listed = re.findall(r"^   (\w+)$", read("api.rst"), re.MULTILINE)
    assert sorted(listed) == sorted(set(sktricks.__all__) - {"__version__"})


def test_the_course_lists_every_example_once():
    listed = re.findall(r"^    (\w+)$", read("course.rst"), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in ROOT.glob("examples/*.py"))


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("examples/*.py")))
def test_an_example_begins_with_a_title(name):
    text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert re.match(r'"""\n(?P<title>.+)\n(=+)\n\n\S', text), "the docstring must begin with a title and a line of ="


def test_each_warning_and_error_has_a_cause_and_a_cure():
    sections = re.split(r"^### ", read("warnings.md"), flags=re.MULTILINE)[1:]
    told = {section.partition("\n")[0]: section for section in sections}
    assert set(told) == {name for name in sktricks.__all__ if name.endswith(("Warning", "Error"))} | UNNAMED
    assert [name for name, text in told.items() if not ("**Cause.** " in text and "**Cure.** " in text)] == []


def test_the_guide_and_the_front_page_list_every_page():
    listed = set(re.findall(r"^([\w-]+)$", read("guide.md") + read("index.md"), re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


def target_of(page, link):
    """Return the file that a relative link of a page leads to."""
    target = (page.parent / link.partition("#")[0]).resolve()
    if target.parent == DOCS / "auto_examples":  # written by sphinx-gallery
        return ROOT / "examples" / target.with_suffix(".py").name
    if target.parent == DOCS / "generated" and target.stem.removeprefix("sktricks.") in sktricks.__all__:
        return DOCS / "api.rst"  # for whose names Sphinx writes these pages
    return target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_files(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", text)
    assert [link for link in links if not target_of(page, link).exists()] == []
