"""Check which modules may import which others, and what importing sktricks loads.

Loaded modules are listed by a fresh process; imports of a module are read from its source.
"""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sktricks

ROOT = Path(sktricks.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
ROOMS = [name for _, name, is_package in pkgutil.iter_modules([str(ROOT)]) if is_package]

# What each subpackage and module never imports, not even inside a function.
FORBIDDEN = {
    "sktricks.augment": {"training", "transfer", "ensemble", "inspection", "persist", "deploy"},
    "sktricks.training": {"transfer", "ensemble", "inspection", "persist", "deploy"},
    "sktricks.transfer": {"ensemble", "inspection", "persist", "deploy"},
    "sktricks.ensemble": {"training", "transfer", "inspection", "persist", "deploy"},
    "sktricks.images": {"augment", "training", "transfer", "ensemble", "inspection", "persist", "deploy"},
    "sktricks.tables": {"augment", "training", "transfer", "ensemble", "inspection", "persist", "images", "deploy"},
    "sktricks.inspection": {"deploy"},  # compare measures saved files
    "sktricks.persist": {"inspection", "deploy"},
    "sktricks.deploy": {"inspection", "persist"},
    # of ours, only each other
    "sktricks._validation": {*ROOMS, "_optional"},
    "sktricks._layout": {*ROOMS, "_optional"},
    "sktricks._value_range": {*ROOMS, "_optional"},
    "sktricks._sample_weight": {*ROOMS, "_optional"},
    "sktricks._parameter_checks": {""},
    "sktricks._replace_file": {""},
    "sktricks._text": {""},
    "sktricks._coded": {*ROOMS},
    "sktricks._labels": {""},
    "sktricks._threads": {""},  # nothing of ours
    "sktricks._optional": {""},
    "sktricks._warnings": {""},
    "sktricks._errors": {""},
    "sktricks._typing": {""},
}
NO_TORCH = ("augment", "ensemble")  # at import time
# only through _optional
OPTIONAL = {
    "timm",
    "torchvision",
    "transformers",
    "huggingface_hub",
    "matplotlib",
    "PIL",
    "pandas",
    "skops",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "torch_pruning",
}
WORK_ON_MODULES = {
    "AverageWeights",
    "Backbone",
    "FreezeLayers",
    "GradientNorms",
    "freeze_layers",
    "layer_table",
}  # useless without a torch module

# A finder that blocks some packages, as if they were not installed, and names the importing line.
REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ImportError(f"{{name}} must not be imported here")

sys.meta_path.insert(0, Refuse())
"""


def fresh(code, refuse=()):
    """Run code in a fresh process with the sktricks that the tests import, and parse its output as JSON."""
    code = REFUSE.format(names=set(refuse)) + code
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def homes():
    """Return the module of each public name, according to the stub."""
    stub = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"sktricks.{node.module}" for node in imports for alias in node.names}


def imported(path, *, with_types=True):
    """Return the dotted names that a file imports anywhere; a public name counts as its module."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in nodes_of(path, with_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            if base == "sktricks":
                yield from (homes().get(alias.name, f"sktricks.{alias.name}") for alias in node.names)
            else:
                yield from (f"{base}.{alias.name}" for alias in node.names)


def nodes_of(path, with_types):
    """Return an iterator over the nodes of a file, with or without those under ``if TYPE_CHECKING:``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not with_types:
            node.body = []
    return ast.walk(tree)


def is_in(name, package):
    return name == package or name.startswith(package + ".")


def test_importing_sktricks_loads_almost_nothing():
    code = """
import json
before = set(sys.modules)
import sktricks
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(new - sys.stdlib_module_names)))
"""
    # Not even numpy and scikit-learn; a later lazy_loader may import small helpers.
    assert set(fresh(code)) <= {"sktricks", "lazy_loader", "packaging"}


def test_constructors_do_not_import_torch():
    code = f"""
import inspect, json
import sktricks
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

samples = {{"estimator": LogisticRegression(), "estimators": [("a", LogisticRegression())], "steps": []}}
samples |= {{"augmenter": sktricks.RandomFlip(), "model": None, "teacher": LogisticRegression()}}
constructed = []
for name in sktricks.__all__:
    if name in {WORK_ON_MODULES!r}:
        continue
    public = getattr(sktricks, name)
    if isinstance(public, type) and issubclass(public, BaseEstimator):
        required = [p.name for p in inspect.signature(public).parameters.values() if p.default is p.empty]
        estimator = public(**{{name: samples[name] for name in required}})
        repr(estimator), estimator.get_params()
        constructed.append(name)
print(json.dumps(constructed))
"""
    assert "NetClassifier" in fresh(code, refuse=["torch", "skorch", *OPTIONAL])


@pytest.mark.parametrize("room", [room for room in NO_TORCH if room in ROOMS])
def test_importing_every_module_of_a_subpackage_without_torch(room):
    names = [module_name(path) for path in SOURCES if is_in(module_name(path), f"sktricks.{room}")]
    code = f"""
import importlib, json
print(json.dumps([importlib.import_module(name).__name__ for name in {names!r}]))
"""
    assert fresh(code, refuse=["torch", "skorch", *OPTIONAL - {"pandas"}]) == names


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_who_may_import_whom(path):
    name = module_name(path)
    for package, others in FORBIDDEN.items():
        if is_in(name, package):
            banned = [f"sktricks.{other}".rstrip(".") for other in others]
            wrong = [found for found in imported(path) if any(is_in(found, other) for other in banned)]
            assert not wrong, f"{name} must not import {wrong}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stem != "_optional"], ids=module_name)
def test_optional_dependencies_are_imported_only_by_optional(path):
    wrong = [found for found in imported(path) if found.partition(".")[0] in OPTIONAL]
    assert not wrong, f"{module_name(path)} imports {wrong} itself: ask _optional for it"


def test_every_subpackage_and_rule_is_known():
    unknown = {f"sktricks.{room}" for room in ROOMS} - FORBIDDEN.keys()
    assert not unknown, f"say in FORBIDDEN whom {unknown} may import"


def test_there_are_no_import_cycles():
    """Imports inside functions count, too, but not those for type checkers alone."""
    names = set(map(module_name, SOURCES))
    graph = {}
    for path in SOURCES:
        found = {name if name in names else name.rpartition(".")[0] for name in imported(path, with_types=False)}
        graph[module_name(path)] = (found & names) - {module_name(path)}
    TopologicalSorter(graph).prepare()  # its error names a cycle


def test_every_public_name_resolves_to_its_subpackage():
    rooms = {room: importlib.import_module(f"sktricks.{room}") for room in ROOMS}
    for room, module in rooms.items():
        ours = {name for name, home in homes().items() if is_in(home, f"sktricks.{room}")}
        assert ours == set(module.__all__), f"sktricks/__init__.pyi and sktricks.{room}.__all__ differ"
    for name, home in homes().items():
        assert getattr(sktricks, name) is getattr(importlib.import_module(home), name)
    assert set(sktricks.__all__) == {"__version__", *homes()}
    assert set(dir(sktricks)) >= homes().keys()


def test_every_public_warning_is_an_error_in_the_tests():
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    filters = pyproject["tool"]["pytest"]["ini_options"]["filterwarnings"]
    public = {name: getattr(sktricks, name) for name in sktricks.__all__}
    for name, value in public.items():
        if isinstance(value, type) and issubclass(value, Warning):
            assert f"error::sktricks.{name}" in filters
