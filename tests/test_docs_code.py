"""The Python blocks of pages of the guide run; ``python docs/run_pages.py`` runs those of all pages."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("PIL")

DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {
    "explanations": ["matplotlib", "pandas"],
    "intervals": ["mapie"],
    "shared-feature-folder": [],
    "threads-and-randomness": [],
}


@pytest.fixture(scope="module")
def run_pages():
    spec = importlib.util.spec_from_file_location("run_pages", DOCS / "run_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", NEEDS)
def test_the_code_of_a_page_runs(page, run_pages, monkeypatch, capfd):
    for module in NEEDS[page]:
        pytest.importorskip(module)
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert run_pages.run_page(DOCS / f"{page}.md"), capfd.readouterr().err


def test_a_page_fails_where_its_code_does(tmp_path, run_pages, capfd):
    page = tmp_path / "page.md"
    page.write_text("```{code-block} python\n1 / 0\n```\n```python\nx = 1\n```\ntext\n```python\n\nx = y\n```\n")
    assert not run_pages.run_page(page)
    error = capfd.readouterr().err
    assert f'File "{page}", line 10' in error and "NameError: name 'y' is not defined" in error
