"""The addresses of the project: the links of HTML representations, and what each file says of the project."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sktricks
from sktricks import NetClassifier
from sktricks._project import DOCS, HOMEPAGE

PUBLIC = {name: getattr(sktricks, name) for name in sktricks.__all__}
ESTIMATORS = sorted(name for name, part in PUBLIC.items() if isinstance(part, type) and issubclass(part, BaseEstimator))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_link_is_the_page_of_the_estimator(name):
    estimator = PUBLIC[name].__new__(PUBLIC[name])
    assert estimator._get_doc_link() == f"{DOCS}/generated/sktricks.{name}.html"


def test_the_html_representation_has_the_link():
    assert f'href="{DOCS}/generated/sktricks.NetClassifier.html"' in NetClassifier()._repr_html_()


def test_a_user_class_has_no_link():
    class Mine(NetClassifier):
        pass

    assert Mine()._get_doc_link() == ""


ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def field(name):
    """Return the value of a single-line field of CITATION.cff."""
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    (value,) = (line.partition(":")[2].strip().strip('"') for line in lines if line.startswith(f"{name}:"))
    return value


def test_pyproject_has_the_urls():
    assert PROJECT["urls"] == {
        "Homepage": HOMEPAGE,
        "Documentation": DOCS,
        "Source": HOMEPAGE,
        "Issues": f"{HOMEPAGE}/issues",
        "Changelog": f"{HOMEPAGE}/blob/main/CHANGELOG.md",
    }


def test_citation_has_the_urls_and_the_version():
    assert (field("repository-code"), field("url")) == (HOMEPAGE, DOCS)
    assert (field("version"), field("license")) == (sktricks.__version__, PROJECT["license"])
    assert f"- name: {PROJECT['authors'][0]['name']}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_changelog_begins_with_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, state = re.search(r"^## (\S+) - (\S+)$", text, re.MULTILINE).groups()
    assert version == sktricks.__version__
    released = "\ndate-released:" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert released == (state != "unreleased")


PAGES = [
    *(ROOT / name for name in ("CITATION.cff", "CODE_OF_CONDUCT.md", "SECURITY.md", "README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / ".github").rglob("*.*")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_the_project_use_its_urls(page):
    text = page.read_text(encoding="utf-8")
    repositories = set(re.findall(r"https://github\.com/(?!orgs/)([\w.-]*sktricks[\w.-]*/[\w.-]+)", text))
    sites = set(re.findall(r"https://[\w.-]*sktricks[\w.-]*\.github\.io/[\w.-]+", text))
    assert repositories <= {HOMEPAGE.removeprefix("https://github.com/")}
    assert sites <= {DOCS}


def test_lower_bounds_are_the_oldest_tested_versions():
    text = (ROOT / "tests" / "constraints-oldest.txt").read_text(encoding="utf-8")
    oldest = dict(line.split("==") for line in text.splitlines() if "==" in line)
    for requirement in PROJECT["dependencies"]:
        name, bound = requirement.split(">=")
        assert oldest[name] == bound or oldest[name].startswith(f"{bound}."), f"{requirement}: tested is {oldest[name]}"


def imported(nodes):
    """The packages that are imported by some nodes of source, by the names of their distributions."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return {"scikit-learn" if name == "sklearn" else name for name in names}


def test_dependencies_equal_the_imports():
    """Optional packages go through _optional; the others may be imported inside a function, to be loaded late."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(sktricks.__file__).parent.rglob("*.py")]
    at_once = set().union(*(imported(tree.body) for tree in trees)) - sys.stdlib_module_names - {"sktricks"}
    somewhere = set().union(*(imported(ast.walk(tree)) for tree in trees))
    declared = {requirement.split(">=")[0] for requirement in PROJECT["dependencies"]}
    assert at_once <= declared <= somewhere


PINNED = [".ci/run", "CONTRIBUTING.md", ".github/workflows/tests.yml"]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pyright[nodejs]"])
def test_tools_have_the_same_version_everywhere(tool):
    found = {path: set(re.findall(rf"{re.escape(tool)}==[\d.]+\d", (ROOT / path).read_text())) for path in PINNED}
    assert all(versions == found[".ci/run"] and len(versions) == 1 for versions in found.values()), found
