"""What has to be said before torch is loaded, and in workers before numpy and scipy are; what begins every test."""

import os
import sys
import zlib
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers run side by side, and threads change the last bits of a net
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # else scikit-learn skips its check of array API inputs

import pytest  # noqa: E402 (after what has to come first)

collect_ignore = ["typing"]  # files for type checkers, which are not to be run


def pytest_collection_modifyitems(items):
    """The oldest supported versions are tested without onnx and Torch-Pruning, which some examples need."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        items[:] = [item for item in items if not item.name.startswith("sktricks.deploy.")]
    if find_spec("torch_pruning") is None:
        items[:] = [item for item in items if not item.name.startswith("sktricks.deploy._prune.")]


@pytest.fixture(autouse=True)
def no_features_from_another_test():
    """The cache of features lives as long as the process."""
    from sktricks import clear_cache

    clear_cache()


@pytest.fixture
def bars(monkeypatch):
    """Every bar that has ended: what is counted, how far, of how many; none is drawn."""
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
    """matplotlib warns of many open figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def draws_of_its_own(request):
    """What a test draws from its module's generator does not depend on which tests ran before it."""
    for generator in (getattr(request.module, name, None) for name in ("rng", "RNG")):
        if generator is not None:
            seed = zlib.crc32(request.node.nodeid.encode())
            generator.bit_generator.state = type(generator.bit_generator)(seed).state
