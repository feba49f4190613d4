"""Adversarial tests: forged archives, damaged files, and wrong values everywhere a user can give one.

Whatever is given, only ``ValueError``, ``TypeError`` or ``ImportError`` may be raised, and the message names the
parameter or the file. What the tests share lives in ``tests/_hostile_*.py``. The long variants run with ``-m long``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _hostile_weights import damaged, saved_by_torch, whole_files, wrong_bytes, wrong_contents

from sktricks import load_backbone

# -- damaged files of weights ------------------------------------------------------------------------------------------


def check_weights(folder, suffix, content):
    """Load a file of weights, which may only work or fail with an error that names it."""
    path = folder / f"weights{suffix}"
    path.write_bytes(content)
    try:
        load_backbone(f"file:{path}::_hostile_weights:Net", image_shape=(8, 8, 1))
    except (ValueError, TypeError, ImportError) as error:
        assert str(path) in str(error)
        return False
    return True


def test_whole_files_of_weights(tmp_path):
    assert all(check_weights(tmp_path, *file) for file in whole_files())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_bytes_that_are_no_weights(suffix, tmp_path):
    assert not any(check_weights(tmp_path, suffix, content) for content in wrong_bytes())


def test_contents_that_are_no_weights(tmp_path):
    loaded = [check_weights(tmp_path, ".pt", saved_by_torch(content)) for content in wrong_contents()]
    assert sum(loaded) == 1  # all weights, and one more entry whose key is a number


@pytest.mark.parametrize("n_files", [60, pytest.param(900, marks=pytest.mark.long)])
def test_damaged_files_of_weights(n_files, tmp_path):
    rng = np.random.default_rng(0)
    loaded = [check_weights(tmp_path, *damaged(rng)) for _ in range(n_files)]
    assert sum(loaded) < n_files / 10  # a bit of a weight may change, which nobody can see


# -- forged archives ---------------------------------------------------------------------------------------------------


SCRIPTS = Path(__file__).parent


def try_forged_archives(folder, number, seed):
    """What became of so many forged archives, and what went wrong; see ``_hostile_archives.py``."""
    command = [sys.executable, str(SCRIPTS / "_hostile_archives.py"), str(folder), str(number), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]  # a crash has the number of its signal
    found = json.loads(done.stdout.splitlines()[-1])
    assert sum(found["counts"].values()) == number
    return found["counts"], found["bad"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of memory")
def test_forged_archives_are_refused_or_predict(tmp_path):
    counts, bad = try_forged_archives(tmp_path, 300, seed=0)
    assert bad == []
    refused = sum(n for what, n in counts.items() if what.endswith("refused"))
    predicts = sum(n for what, n in counts.items() if what.endswith("predicts"))
    assert refused > 150 and predicts > 10  # there are forgeries, and they are not all of one kind


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of memory")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_thousand_forged_archives(seed, tmp_path):
    counts, bad = try_forged_archives(tmp_path, 1000, seed)
    for what, n in sorted(counts.items()):
        print(f"{what}: {n}")
    assert bad == []
