import importlib
import sys

import pytest

from sktricks._optional import import_optional

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"


NAMES = {"timm", "torchvision", "transformers", "PIL"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that creates packages from sources; installed optional packages are hidden."""

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name in NAMES and not (tmp_path / f"{name}.py").exists():
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])

    def install(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    yield install
    for name in NAMES:
        sys.modules.pop(name, None)


def test_a_package_that_works(install):
    install(torchvision="", timm="import torchvision", transformers="")
    for name in ("timm", "torchvision", "transformers"):
        assert import_optional(name, "vision").__name__ == name


@pytest.mark.parametrize(("name", "title"), [("timm", "timm"), ("torchvision", "torchvision"), ("PIL.Image", "Pillow")])
def test_a_missing_package(install, name, title):
    with pytest.raises(
        ImportError, match=rf'^{title} is required and is not installed.*pip install "sktricks\[vision\]"$'
    ):
        import_optional(name, "vision")


def test_a_missing_torchvision_is_named_if_timm_is_imported(install):
    install(timm="import torchvision")
    with pytest.raises(ImportError, match="^torchvision, which timm requires, is not installed") as caught:
        import_optional("timm", "vision")
    assert caught.value.name == "torchvision"


def test_transformers_does_without_torchvision(install):
    install(transformers="")
    assert import_optional("transformers", "hf").__name__ == "transformers"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("torchvision", " is required and"),
        ("timm", ", which timm requires,"),
        ("transformers", ", which transformers im"),
    ],
)
def test_a_broken_torchvision_is_named_for_every_importer(install, name, why):
    install(torchvision=BROKEN, timm="import torchvision", transformers="")
    with pytest.raises(ImportError, match=f"^torchvision{why}.*is installed") as caught:
        import_optional(name, "vision")
    message = str(caught.value)
    assert "operator torchvision::nms does not exist" in message and "pip install torch torchvision" in message
    assert f"torch {importlib.metadata.version('torch')}" in message
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_another_broken_package(install):
    install(torchvision="", timm="raise OSError('libfoo.so: cannot open')")
    with pytest.raises(ImportError, match=r"^timm is required and is installed .*libfoo.*--force-reinstall timm$"):
        import_optional("timm", "vision")


def test_nothing_else_is_imported(install):
    install(torchvision=BROKEN, PIL="")
    assert import_optional("PIL", "images").__name__ == "PIL"
