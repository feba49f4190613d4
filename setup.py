"""Build options that pyproject.toml cannot express: ``SKTRICKS_NO_WEIGHTS=1`` omits the pretrained weights.

Such a build is for those who may not redistribute the weights (see sktricks/transfer/weights/README.md). Its version
ends in ``+noweights``: PyPI refuses such local versions, so it cannot be uploaded in place of the real one.
"""

from __future__ import annotations

import os

from setuptools import setup
from setuptools.command.build_py import build_py

NO_WEIGHTS = os.environ.get("SKTRICKS_NO_WEIGHTS", "0") not in ("", "0")


class BuildWithoutWeights(build_py):
    """Copy all files of the package except weights."""

    def exclude_data_files(self, package, src_dir, files):
        """Return the data files of a package that are copied."""
        kept = super().exclude_data_files(package, src_dir, files)
        return [path for path in kept if not path.endswith(".safetensors")]


if NO_WEIGHTS:
    setup(cmdclass={"build_py": BuildWithoutWeights}, options={"egg_info": {"tag_build": "+noweights"}})
else:
    setup()
