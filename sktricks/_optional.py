"""Optional dependencies: imported late; missing or broken, said clearly."""

import importlib

PACKAGES = {"PIL": "Pillow"}  # by another name than the module's


def import_optional(name, extra):
    """The module ``name``, or an ImportError that says which extra of sktricks brings its package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        package = PACKAGES.get(package, package)
        raise ImportError(
            f"{package} is needed here and cannot be imported ({error}). "
            f'This installs it: pip install "sktricks[{extra}]"'
        ) from error
