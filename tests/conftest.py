"""Settings that must be made before torch, numpy and scipy are imported, and fixtures for all tests."""

import os
import sys
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path

# Workers run in parallel, and the number of threads affects the last bits of a net.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # otherwise scikit-learn skips its check of array API inputs

import pytest  # noqa: E402 (after the settings above)

collect_ignore = ["typing"]  # files for type checkers, which must not be run

# A build with SKTRICKS_NO_WEIGHTS=1 is tested with random weights, on which some tests cannot count.
PACKAGE = Path(find_spec("sktricks").origin).parent
EXAMPLES_WITH_SCORES = ("transfer._features.PretrainedFeatures", "transfer._fine_tune.FineTuneClassifier")
NO_WEIGHTS = not (PACKAGE / "transfer" / "weights" / "tiny32.safetensors").is_file()


def pytest_configure(config):
    if NO_WEIGHTS and "SKTRICKS_TINY32" not in os.environ:
        import torch
        from safetensors.torch import save_file

        from sktricks.transfer.backbones._tiny32 import Tiny32

        torch.manual_seed(32)
        path = Path(tempfile.mkdtemp(prefix="sktricks-weights-")) / "tiny32.safetensors"
        weights = Tiny32().state_dict().items()
        save_file({name: tensor for name, tensor in weights if not name.endswith("num_batches_tracked")}, path)
        os.environ["SKTRICKS_TINY32"] = str(path)


def pytest_collection_modifyitems(items):
    """Skip examples that require onnx or Torch-Pruning, without which the oldest versions are tested."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        items[:] = [item for item in items if not item.name.startswith("sktricks.deploy.")]
    if find_spec("torch_pruning") is None:
        items[:] = [item for item in items if not item.name.startswith("sktricks.deploy._prune.")]
    if NO_WEIGHTS:
        for item in items:
            if item.get_closest_marker("pretrained") or item.name.endswith(EXAMPLES_WITH_SCORES):
                item.add_marker(pytest.mark.skip(reason="this build has no weights of tiny32"))


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
