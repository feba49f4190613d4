"""Some tests require onnx or Torch-Pruning, which are absent from the tests of the oldest versions."""

from importlib.util import find_spec

collect_ignore = []
if find_spec("onnx") is None or find_spec("onnxruntime") is None:
    collect_ignore_glob = ["test_convert_*.py", "test_export*.py", "test_onnx_*.py"]
    names = ("exactness", "full_precision", "merge_convolutions", "quantize", "shallow_trees", "shift_outputs")
    collect_ignore += [f"test_{name}.py" for name in names]
if find_spec("torch_pruning") is None:
    collect_ignore += ["test_cut_channels.py", "test_prune.py"]


def pytest_make_parametrize_id(config, val, argname):
    """Name estimators by their class: their repr is long, and may contain addresses that differ between workers."""
    return type(val).__name__ if hasattr(val, "get_params") else None
