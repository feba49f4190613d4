"""What has to be said before torch is loaded, and in workers before numpy and scipy are; what begins every test."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers run side by side, and threads change the last bits of a net
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # else scikit-learn skips its check of array API inputs

import pytest  # noqa: E402 (after what has to come first)


@pytest.fixture(autouse=True)
def no_features_from_another_test():
    """The cache of features lives as long as the process."""
    from sktricks import clear_cache

    clear_cache()
