import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

import sktricks
from sktricks import _show_versions


def report(capsys):
    sktricks.show_versions()
    return capsys.readouterr().out


def declared(table):
    """Return the names of the distributions in a list of requirements of pyproject.toml."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["dependencies"] if table is None else project["optional-dependencies"][table]
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


def test_versions_are_those_of_the_metadata(capsys):
    lines = dict(line.split(": ", 1) for line in report(capsys).splitlines() if ": " in line)
    lines = {name.strip(): value for name, value in lines.items()}
    assert lines["executable"] == sys.executable
    assert lines["numpy"] == importlib.metadata.version("numpy")
    assert lines["torch"] == importlib.metadata.version("torch")
    assert {"CPU threads", "CUDA", "MPS"} <= lines.keys()


def test_every_declared_dependency_is_reported():
    assert declared(None) <= set(_show_versions.REQUIRED)
    assert declared("vision") | declared("hf") | declared("plot") <= set(_show_versions.OPTIONAL)


def test_lower_bounds_are_the_versions_of_the_oldest_environment():
    here = Path(__file__).parent
    project = tomllib.loads((here.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (here / "constraints-oldest.txt").read_text(encoding="utf-8"), re.M))
    for requirement in project["dependencies"]:
        name, bound = requirement.split(">=")
        assert pinned[name].startswith(bound), f"{requirement} is tested with {pinned[name]}"


def test_missing_package(capsys, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_show_versions, "version", version)
    out = report(capsys)
    assert out.count("not installed") == 1 + len(_show_versions.REQUIRED) + len(_show_versions.OPTIONAL)


@pytest.mark.parametrize("error", [ImportError("no torch here"), OSError("libcudart.so: cannot open")])
def test_torch_that_does_not_import_is_reported(capsys, monkeypatch, error):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise error

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert f"torch: cannot be imported: {error}" in report(capsys)
