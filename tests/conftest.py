"""Settings that must be made before torch, numpy and scipy are imported, and fixtures for all tests."""

import os
import sys
import zlib
from importlib.util import find_spec

# Workers run in parallel, and the number of threads affects the last bits of a net.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # otherwise scikit-learn skips its check of array API inputs

import pytest  # noqa: E402 (after the settings above)

collect_ignore = ["typing"]  # files for type checkers, which must not be run


def pytest_collection_modifyitems(items):
    """Skip examples that require onnx or Torch-Pruning, without which the oldest versions are tested."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        items[:] = [item for item in items if not item.name.startswith("sktricks.deploy.")]
    if find_spec("torch_pruning") is None:
        items[:] = [item for item in items if not item.name.startswith("sktricks.deploy._prune.")]


@pytest.fixture(autouse=True)
def no_features_from_another_test():
    """Clear the feature cache, which lasts as long as the process."""
    from sktricks import clear_cache

    clear_cache()


@pytest.fixture
def bars(monkeypatch):
    """Record (what, n, total) of every bar that ended, without drawing any."""
    from sktricks._progress import SCREEN

    ended, close = [], SCREEN.close

    def note(bar):
        ended.append((bar.what, bar.n, bar.total))
        close(bar)

    monkeypatch.setattr(SCREEN, "close", note)
    monkeypatch.setattr("sktricks._progress.DELAY", float("inf"))
    yield ended
    assert not SCREEN.bars


@pytest.fixture(autouse=True)
def no_figures_from_another_test():
    """Close all figures, since matplotlib warns of many open ones."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def draws_of_its_own(request):
    """Reset the random generator of a test module, so that draws do not depend on earlier tests."""
    for generator in (getattr(request.module, name, None) for name in ("rng", "RNG")):
        if generator is not None:
            seed = zlib.crc32(request.node.nodeid.encode())
            generator.bit_generator.state = type(generator.bit_generator)(seed).state
