"""Adversarial tests: forged archives, damaged files, and invalid values wherever users can pass them.

For any input, only ``ValueError``, ``TypeError`` or ``ImportError`` may be raised, and the message names the
parameter or the file. Shared code is in ``tests/_hostile_*.py``. The long variants run with ``-m long``.
"""

import inspect
import json
import os
import re
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import _hostile_images
import _hostile_values
import numpy as np
import pytest
from _hostile_rows import ODD_X, ODD_Y, ordinary
from _hostile_weights import damaged, saved_by_torch, whole_files, wrong_bytes, wrong_contents
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB

import sktricks
from sktricks import (
    AugmentedClassifier,
    CascadeClassifier,
    FineTuneClassifier,
    ImageLoader,
    NetClassifier,
    NetRegressor,
    PretrainedFeatures,
    SmallToleranceWarning,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
    augment,
    load_backbone,
)
from sktricks._errors import DivergenceError

# -- damaged weight files ----------------------------------------------------------------------------------------------


def check_weights(folder, suffix, content):
    """Load a weight file, which must work or raise an error that names the file."""
    path = folder / f"weights{suffix}"
    path.write_bytes(content)
    try:
        load_backbone(f"file:{path}::_hostile_weights:Net", image_shape=(8, 8, 1))
    except (ValueError, TypeError, ImportError) as error:
        assert str(path) in str(error)
        return False
    return True


def test_undamaged_weight_files(tmp_path):
    assert all(check_weights(tmp_path, *file) for file in whole_files())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_bytes_that_are_not_weights(suffix, tmp_path):
    assert not any(check_weights(tmp_path, suffix, content) for content in wrong_bytes())


def test_contents_that_are_not_weights(tmp_path):
    loaded = [check_weights(tmp_path, ".pt", saved_by_torch(content)) for content in wrong_contents()]
    assert sum(loaded) == 1  # all weights, and an extra entry whose key is a number


@pytest.mark.parametrize("n_files", [60, pytest.param(900, marks=pytest.mark.long)])
def test_damaged_weight_files(n_files, tmp_path):
    rng = np.random.default_rng(0)
    loaded = [check_weights(tmp_path, *damaged(rng)) for _ in range(n_files)]
    assert sum(loaded) < n_files / 10  # a flipped bit of a weight may go unnoticed


# -- forged archives ---------------------------------------------------------------------------------------------------


SCRIPTS = Path(__file__).parent


def try_forged_archives(folder, number, seed):
    """Return the outcomes and problems of a number of forged archives; see ``_hostile_archives.py``."""
    command = [sys.executable, str(SCRIPTS / "_hostile_archives.py"), str(folder), str(number), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]  # a crash has its signal as the return code
    found = json.loads(done.stdout.splitlines()[-1])
    assert sum(found["counts"].values()) == number
    return found["counts"], found["bad"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of memory")
def test_forged_archives_are_rejected_or_predict(tmp_path):
    counts, bad = try_forged_archives(tmp_path, 300, seed=0)
    assert bad == []
    refused = sum(n for what, n in counts.items() if what.endswith("refused"))
    predicts = sum(n for what, n in counts.items() if what.endswith("predicts"))
    assert refused > 150 and predicts > 10  # the forgeries are of several kinds


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of memory")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_thousand_forged_archives(seed, tmp_path):
    counts, bad = try_forged_archives(tmp_path, 1000, seed)
    for what, n in sorted(counts.items()):
        print(f"{what}: {n}")
    assert bad == []


# -- image files -------------------------------------------------------------------------------------------------------

MENDED = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of damage that it repairs
READ = {"no palette.png", "damaged exif.png", "sound.png"}  # like image viewers, since the pixels are intact


@pytest.fixture
def pillow(monkeypatch):
    """Return PIL.Image with a limit of two million pixels, so that no test requires much memory."""
    module = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(module, "MAX_IMAGE_PIXELS", 10**6)
    return module


@pytest.fixture
def hostile_folder(tmp_path):
    """Write a folder with one class of files with names of images."""
    pytest.importorskip("PIL.Image")
    folder = tmp_path / "class"
    folder.mkdir()
    sound = {"sound.png": _hostile_images.sound_images()["color.png"]}
    contents = {**_hostile_images.impostors(), **_hostile_images.bombs(), **sound}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return tmp_path


def test_hostile_files_start_no_processes_and_are_named(hostile_folder, monkeypatch):
    folder = hostile_folder / "class"
    (folder / "is a folder.png").mkdir()
    os.symlink(os.devnull, folder / "device.png")
    os.symlink("lost.png", folder / "lost.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(folder)  # the path of a socket has at most 108 bytes
            server.bind("socket.jpg")
    code = f"import json, _hostile_images; print(json.dumps(_hostile_images.read_each({str(hostile_folder)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(_hostile_images.__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["events"] == [] and found["warnings"] == 2
    outcomes = {Path(file).name: outcome for file, outcome in found["outcomes"].items()}
    assert {name for name, outcome in outcomes.items() if outcome == "read"} == READ
    assert set(outcomes.values()) == {"read", "ValueError True", "UnreadableImageError True"}
    assert {Path(file).name for file in found["gray"]} == outcomes.keys() - READ
    assert not {Path(file).name for file in found["left_out"]} & READ


@MENDED
@pytest.mark.parametrize("name", [*_hostile_images.impostors(), *_hostile_images.bombs()])
def test_hostile_bytes(name, pillow):
    content = {**_hostile_images.impostors(), **_hostile_images.bombs()}[name]
    if name in READ:
        assert ImageLoader(8).transform([content]).shape == (1, 8, 8, 3)
        return
    with pytest.raises(ValueError, match="bytes in row 0 cannot be read as an image: ."):
        ImageLoader(8).transform([content])
    with pytest.warns(
        sktricks.UnreadableImageWarning, match="unreadable image is replaced by gray: the .* bytes in row 0 ."
    ):
        assert (ImageLoader(8, on_error="warn").transform([content]) == 128).all()


@MENDED
@pytest.mark.parametrize("n", [12, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_bytes(n, pillow):
    rng = np.random.default_rng(n)
    loaders = [ImageLoader((6, 5)), ImageLoader((6, 5), mode="L", white_level=65535)]
    n_errors = 0
    for name, sound in _hostile_images.sound_images().items():
        assert loaders[1].transform([sound]).shape == (1, 6, 5), name
        for content in _hostile_images.damaged(sound, rng, n):
            for loader in loaders:
                try:
                    pixels = loader.transform([content])
                except ValueError as error:
                    assert "bytes in row 0 cannot be read as an image" in str(error)
                    n_errors += 1
                else:
                    assert pixels.dtype == np.uint8 and pixels.shape[:3] == (1, 6, 5)
    assert n_errors > n


@pytest.mark.parametrize("name", ["bomb.png", "bomb.gif", "bomb.bmp"])
def test_the_error_about_decompression_bombs_has_the_cure(name, tmp_path, pillow):
    file = tmp_path / name
    file.write_bytes(_hostile_images.bombs()[name])
    for act in (lambda: ImageLoader().transform([file]), lambda: PretrainedFeatures().fit([file]).transform([file])):
        with pytest.raises(
            ValueError, match=rf"{name} .* more than 2000000 pixels.* raise PIL\.Image\.MAX_IMAGE_PIXELS"
        ):
            act()


def test_images_that_need_too_much_memory():
    content = _hostile_images.sound_images()["color.png"]
    with pytest.raises(
        ValueError, match=r"X has 3 images, which require .* GiB of memory at size .*: choose a smaller size"
    ):
        ImageLoader((2**30, 2**30)).transform([content] * 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes have no path here")
def test_a_pipe_in_a_column(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for estimator in (ImageLoader(8), PretrainedFeatures(), FineTuneClassifier()):
        with pytest.raises(ValueError, match=r"\d do not exist or are not regular files: .*pipe\.jpg"):
            estimator.fit([pipe, pipe], [0, 1]).transform([pipe])


# -- parameters of augmenters ------------------------------------------------------------------------------------------

BYTES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
ROWS = {
    "bytes": BYTES,
    "floats": (BYTES / 255).astype(np.float32),
    "table": np.random.default_rng(0).normal(size=(6, 5)),
}
SHARED = {"image_shape", "value_range", "n_jobs", "random_state", "steps", "augmenter"}
AUGMENTERS = [
    (getattr(augment, name), parameter)
    for name in augment.__all__
    if isinstance(getattr(augment, name), type) and issubclass(getattr(augment, name), augment.BaseAugmenter)
    for parameter in inspect.signature(getattr(augment, name)).parameters
    if parameter not in SHARED
]
ABSURD = [np.nan, np.inf, -np.inf, np.float32("nan"), -1, 300, 10**9, 10**30, 1e300, "a", b"a", object(), [1, 2, 3], {}]
ABSURD += [(1e300, 1e300), (np.nan, 1), (0.5, np.inf), (0.5, 1e9), (10**9, 10**9), (2, 1), (), ("a", "b")]


@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")
@pytest.mark.filterwarnings("ignore::sktricks.UnmixedRowsWarning")
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(("make", "parameter"), AUGMENTERS, ids=lambda one: getattr(one, "__name__", one))
def test_absurd_parameters_of_augmenters(make, parameter, kind):
    for value in ABSURD:
        gaps = parameter == "fill" and kind != "bytes" and isinstance(value, float | np.floating) and np.isnan(value)
        try:
            new = make(**{parameter: value, "random_state": 0}).fit_transform(ROWS[kind])
        except (ValueError, TypeError) as error:
            assert parameter in str(error), f"{value!r}: {error}"
        else:
            assert gaps or np.isfinite(new).all(), value
            assert gaps or kind == "table" or np.ptp(new) > 0, value  # not a constant color


# -- wrong parameters of ensembles -------------------------------------------------------------------------------------

ODD = [
    *(None, 0, -1, 2, True, "nonsense", "", object(), [], {}, np.nan, np.inf, 1e300, (1,), [np.nan, 1], ["a", "b"]),
    *([[1, 2]], np.array([1, 2, 3]), GaussianNB, ("a",), [None], [("a", None)], [("a", 3)], [("a", "drop")]),
    *([("", GaussianNB())], {"a": GaussianNB()}, [(3, GaussianNB())], [GaussianNB()]),
]
CLASSIFIERS = [("a", GaussianNB()), ("b", DummyClassifier())]
REGRESSORS = [("a", Ridge()), ("b", DummyRegressor())]


def check_parameter(ensemble, parameter, value):
    """Fit an ensemble with an odd value, which must work or raise an error that names the parameter."""
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3
    try:
        vars(ensemble)[parameter] = value
        ensemble.fit(X, y).predict(X)
    except (ValueError, TypeError) as error:
        assert parameter in str(error) or isinstance(error, NotFittedError) and parameter == "prefit"


@pytest.mark.parametrize("parameter", ["estimators", "weights", "cv", "final_estimator", "tolerance", "store_oof"])
def test_odd_parameters_of_ensembles(parameter):
    check_parameters(
        [VotingClassifier(CLASSIFIERS), StackingRegressor(REGRESSORS), CascadeClassifier(CLASSIFIERS)], parameter
    )


@pytest.mark.long
@pytest.mark.parametrize("make", [VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor])
def test_all_odd_parameters_of_ensembles(make):
    members = CLASSIFIERS if is_classifier(make([])) else REGRESSORS
    for parameter in make(members).get_params(deep=False):
        check_parameters([make(members)], parameter)


def check_parameters(ensembles, parameter):
    for ensemble in ensembles:
        for value in ODD if hasattr(ensemble, parameter) else ():
            if parameter == "passthrough" and isinstance(value, type):
                continue  # a class is a valid callable, which may raise any error
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SmallToleranceWarning)
                check_parameter(clone(ensemble), parameter, value)


# -- invalid values for constructors -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", _hostile_values.estimators())
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
def test_wrong_values_for_each_parameter(name, every, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a cache with the name "nonsense"
    estimator, X, y = _hostile_values.instance(name)
    wrong, refused = [], 0
    for parameter, value in _hostile_values.cases(name)[len(name) % every :: every]:
        try:
            _hostile_values.use(estimator, X, y, parameter, value)
        except (NotFittedError, DivergenceError):  # from valid values: prefit=True, and weight_decay=1e308
            pass
        except (ValueError, TypeError, ImportError) as error:
            refused += 1
            if parameter not in str(error):
                wrong.append(f"{parameter}={value!r} does not name the parameter: {error}")
        except Exception as error:
            wrong.append(f"{parameter}={value!r} raises {type(error).__name__}: {error}")
    assert wrong == [] and refused > 0


# -- odd X and y -------------------------------------------------------------------------------------------------------

TINY_NET = {"max_epochs": 1, "net_params": {"module__width": 4, "module__depth": 1}, "random_state": 0}
READ_X_AND_Y = {
    "NetClassifier": lambda: NetClassifier(**TINY_NET),
    "NetRegressor": lambda: NetRegressor(**TINY_NET),
    "FineTuneClassifier": lambda: FineTuneClassifier(**TINY_NET),
    "AugmentedClassifier": lambda: AugmentedClassifier(GaussianNB(), augment.GaussianNoise(), random_state=0),
    "VotingClassifier": lambda: VotingClassifier([("net", NetClassifier(**TINY_NET)), ("bayes", GaussianNB())]),
}
TOLD = re.compile(r"\b(X|y|rows?|[Cc]olumns?|[Ff]eatures?|samples?|labels?|classes|arrays?|[Cc]omplex|container)\b")


def check_odd_values(name, X, y):
    """Fit and predict, which must work or raise an error that names the problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            predicted = READ_X_AND_Y[name]().fit(X, y).predict(X)
        except (ValueError, TypeError, ImportError) as error:
            own = name != "VotingClassifier"  # members raise their own errors about X
            assert TOLD.search(str(error)) or not own, f"{type(error).__name__}: {error}"
            return False
    assert len(predicted) == len(X)
    assert predicted.dtype.kind != "f" or np.isfinite(predicted).all()
    return True


@pytest.mark.parametrize("name", ["NetClassifier", "NetRegressor", "AugmentedClassifier"])
def test_each_odd_X(name):
    X, y = ordinary(6, 2)
    works = {odd for odd, make in ODD_X.items() if check_odd_values(name, make(X), y)}
    assert works > {"long double", "big-endian float64", "big-endian int32", "Fortran order", "read-only", "uint64"}
    assert not works & {"complex", "datetime64", "dates", "durations", "infinity", "strings", "csr", "five dimensions"}


@pytest.mark.parametrize("name", ["NetClassifier", "NetRegressor"])
def test_each_odd_y(name):
    X, y = ordinary(6, 2)
    works = {odd for odd, make in ODD_Y.items() if check_odd_values(name, X, make(y))}
    assert works > {"booleans", "uint8", "long double", "big-endian", "Int64", "lists", "a column"}
    assert not works & {"NaN", "None", "masked", "complex", "infinity", "too short", "strings and numbers", "sparse"}
    assert ("strings" in works) == (name == "NetClassifier") and ("huge" in works) == (name == "NetRegressor")


COMBINATIONS = st.tuples(
    st.sampled_from(list(READ_X_AND_Y)),
    st.sampled_from(list(ODD_X)),
    st.sampled_from(list(ODD_Y)),
    st.sampled_from([0, 1, 2, 3, 20, 70]),
    st.sampled_from([0, 1, 2, 4]),
)


def check_odd_combination(odd):
    name, odd_X, odd_y, n_rows, n_features = odd
    X, y = ordinary(n_rows, n_features)
    try:
        X, y = ODD_X[odd_X](X), ODD_Y[odd_y](y)
    except (ValueError, IndexError):  # this conversion requires rows and columns
        return
    check_odd_values(name, X, y)


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(odd=COMBINATIONS)
def test_odd_X_and_y(odd):
    check_odd_combination(odd)


@pytest.mark.long
@settings(derandomize=True, deadline=None, max_examples=3000, database=None)
@given(odd=COMBINATIONS)
def test_many_odd_X_and_y(odd):
    check_odd_combination(odd)


DATED = ["dates", "dates with a time zone", "durations", "periods", "date objects"]


@pytest.mark.parametrize("odd", DATED)
def test_the_error_about_dates_has_the_cure(odd):
    X, y = ordinary(6, 2)
    with pytest.raises(ValueError, match="column 'when' holds dates or times.*number of seconds.*weekday") as caught:
        NetClassifier(**TINY_NET).fit(ODD_X[odd](X), y)
    assert "category" not in str(caught.value)


@pytest.mark.parametrize("odd", ["long double", "big-endian float64", "big-endian float32"])
def test_other_numeric_types_give_the_same_results(odd):
    X, y = ordinary(20, 3)
    X = X.astype(np.float32).astype(np.float64)
    for make in READ_X_AND_Y.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = make().fit(ODD_X[odd](X), y).predict(ODD_X[odd](X))
            np.testing.assert_allclose(predicted, make().fit(X, y).predict(X), rtol=1e-4)


def test_masked_values_are_missing_values():
    X, y = ordinary(20, 3)
    nets = [NetClassifier(**TINY_NET).fit(ODD_X[odd](X), y) for odd in ("masked", "nothing masked")]
    gaps = np.where(X > 1, np.nan, X)
    np.testing.assert_array_equal(nets[0].predict_proba(ODD_X["masked"](X)), nets[0].predict_proba(gaps))
    np.testing.assert_array_equal(nets[1].predict_proba(X), NetClassifier(**TINY_NET).fit(X, y).predict_proba(X))


# -- invalid values for save, load, backbones and folders --------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "archive"
    sktricks.save(sktricks.RandomFlip().fit(BYTES), path)
    return path


def check_call(call, names):
    """Call with each invalid value, and check that the error names the parameter or the missing file."""
    n_refused = 0
    for value in _hostile_values.VALUES:
        try:
            call(value)
        except FileNotFoundError as error:
            assert names == ["path"] and value in str(error), f"{value!r}: {error}"
        except (ValueError, TypeError, ImportError) as error:
            n_refused += 1
            assert any(name in str(error) for name in names), f"{value!r}: {error}"
    return n_refused


@pytest.mark.parametrize("parameter", ["estimator", "path", "trusted"])
def test_wrong_values_for_save(parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    valid = {"estimator": sktricks.RandomFlip().fit(BYTES), "path": "archive"}
    assert check_call(lambda value: sktricks.save(**valid | {parameter: value}), [parameter]) > 20


@pytest.mark.parametrize("parameter", ["path", "module", "backbone", "callbacks", "params", "trusted"])
def test_wrong_values_for_load(parameter, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_call(lambda value: sktricks.load(**{"path": archive, parameter: value}), [parameter]) > 20


@pytest.mark.parametrize("parameter", ["spec", "image_shape", "pretrained", "mean", "std", "interpolation"])
def test_wrong_values_for_load_backbone(parameter):
    others = {"mean": {"std": 1.0}, "std": {"mean": 0.0}}.get(parameter, {})
    names = ["backbone"] if parameter == "spec" else [parameter]
    assert check_call(lambda value: load_backbone(**others | {parameter: value}), names) > 20


def test_wrong_values_for_read_image_folder(tmp_path, monkeypatch):
    pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    assert check_call(sktricks.read_image_folder, ["path"]) == len(_hostile_values.VALUES)


# -- invalid values for functions and callbacks ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda value: sktricks.find_lr(value, *_hostile_values.TWENTY), "estimator"),
        (lambda value: sktricks.diagnose(value, *_hostile_values.TWENTY), "estimator"),
        (lambda value: sktricks.freeze_layers(value, 1), "module"),
        (lambda value: sktricks.freeze_layers(_hostile_values.linear(), value), "freeze_until"),
        *[
            (lambda value, name=name: sktricks.find_lr(NetClassifier(), *_hostile_values.TWENTY, **{name: value}), name)
            for name in ("lowest", "highest", "n_steps")
        ],
        *[
            (lambda value, name=name: _hostile_values.with_callback(sktricks.AverageWeights(**{name: value})), name)
            for name in ("kind", "decay", "start")
        ],
        (lambda value: _hostile_values.with_callback(sktricks.FreezeLayers(value)), "freeze_until"),
        (lambda value: _hostile_values.with_callback(sktricks.FreezeLayers(1, value)), "unfreeze_at"),
    ],
)
def test_wrong_values_for_functions_and_callbacks(call, parameter):
    for value in _hostile_values.VALUES:
        try:
            call(value)
        except (ValueError, TypeError, ImportError) as error:
            assert parameter in str(error), f"{value!r}: {error}"
