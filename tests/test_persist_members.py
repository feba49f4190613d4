"""Foreign members: which are trusted, and how they are checked."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _hostile_members import zipped
from sklearn import ensemble, neighbors, svm, tree
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sktricks import load, save
from sktricks.ensemble import VotingClassifier, VotingRegressor
from sktricks.persist._archive import read_archive, write_archive

skops = pytest.importorskip("skops.io")
X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
CLASSIFIERS = [
    tree.DecisionTreeClassifier(max_depth=3, random_state=0),
    tree.ExtraTreeClassifier(max_depth=3, random_state=0),
    ensemble.RandomForestClassifier(3, random_state=0),
    ensemble.ExtraTreesClassifier(3, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=3),
    ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=[3]),
    ensemble.AdaBoostClassifier(n_estimators=3, random_state=0),
    ensemble.BaggingClassifier(n_estimators=3, max_features=2, random_state=0),
    neighbors.KNeighborsClassifier(),
    neighbors.KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
    neighbors.KNeighborsClassifier(algorithm="brute", weights="distance"),
    neighbors.RadiusNeighborsClassifier(5.0),
    MLPClassifier(4, max_iter=5, random_state=0),
    svm.SVC(),
    CalibratedClassifierCV(LogisticRegression(), cv=2),
    GaussianProcessClassifier(),
    make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0), LogisticRegression()),
]
REGRESSORS = [
    tree.DecisionTreeRegressor(max_depth=3, random_state=0),
    ensemble.RandomForestRegressor(3, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=3, random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=3),
    neighbors.KNeighborsRegressor(),
    svm.SVR(),
    svm.NuSVR(kernel="poly"),
]


class Codes(ClassifierMixin, BaseEstimator):
    """A class that must be trusted by the caller."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


class Others(Codes):
    """Another such class."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("member", CLASSIFIERS, ids=lambda member: type(member).__name__)
def test_a_vote_of_scikit_learns_classifiers_is_saved_and_loaded(member, tmp_path):
    vote = VotingClassifier([("member", member), ("line", LogisticRegression(max_iter=1000))]).fit(X, NAMES)
    save(vote, tmp_path / "vote")
    np.testing.assert_array_equal(load(tmp_path / "vote").predict_members(X), vote.predict_members(X))


@pytest.mark.parametrize("member", REGRESSORS, ids=lambda member: type(member).__name__)
def test_a_vote_of_scikit_learns_regressors_is_saved_and_loaded(member, tmp_path):
    A, b = load_diabetes(return_X_y=True)
    vote = VotingRegressor([("member", member)]).fit(A, b)
    save(vote, tmp_path / "vote")
    np.testing.assert_array_equal(load(tmp_path / "vote").predict(A), vote.predict(A))


def test_sparse_rows_of_neighbors_are_saved_and_loaded(tmp_path):
    from scipy.sparse import csr_matrix

    rows = csr_matrix(np.where(X > 2, X, 0))
    vote = VotingClassifier([("near", neighbors.KNeighborsClassifier())]).fit(rows, Y)
    save(vote, tmp_path / "vote")
    np.testing.assert_array_equal(load(tmp_path / "vote").predict(rows), vote.predict(rows))


def test_forests_of_several_outputs_are_saved_and_loaded(tmp_path):
    forest = ensemble.RandomForestClassifier(2, random_state=0).fit(X, np.c_[Y, Y > 0])
    pipeline = make_pipeline(StandardScaler(), forest)
    pipeline[0].fit(X)
    save(pipeline, tmp_path / "forest")
    np.testing.assert_array_equal(load(tmp_path / "forest").predict(X), pipeline.predict(X))


def test_a_user_class_must_be_trusted_in_save_and_load(tmp_path):
    vote = VotingClassifier([("codes", Codes()), ("line", LogisticRegression(max_iter=1000))]).fit(X, NAMES)
    name = f"{Codes.__module__}.Codes"
    with pytest.raises(TypeError, match=rf"'codes' \(Codes\) only if you trust its types: pass trusted=\['{name}'\]"):
        save(vote, tmp_path / "vote")
    save(vote, tmp_path / "vote", trusted=[name])
    with pytest.raises(ValueError, match=rf"'codes' \(Codes\).* not trusted.*pass trusted=\['{name}'\]"):
        load(tmp_path / "vote")
    again = load(tmp_path / "vote", trusted=[Codes])
    np.testing.assert_array_equal(again.predict(X), vote.predict(X))


def test_one_error_names_the_types_of_all_members(tmp_path):
    members = [("own", Codes()), ("other", Others()), ("line", LogisticRegression(max_iter=1000))]
    vote = VotingClassifier(members).fit(X, NAMES)
    names = [f"{kind.__module__}.{kind.__name__}" for kind in (Codes, Others)]
    with pytest.raises(
        TypeError, match=re.escape(f"the member 'own' (Codes) only if you trust its types: pass trusted={names}")
    ):
        save(vote, tmp_path / "vote")
    save(vote, tmp_path / "vote", trusted=names)
    with pytest.raises(ValueError, match=re.escape(f"pass trusted={names}")):
        load(tmp_path / "vote", trusted=names[1:])
    load(tmp_path / "vote", trusted=names)


def test_a_lambda_is_rejected(tmp_path):
    model = make_pipeline(FunctionTransformer(lambda rows: rows), StandardScaler()).fit(X)
    name = f"{__name__}.<lambda>"
    with pytest.raises(TypeError, match="load cannot find .*<lambda>, a local class. Define it in a module"):
        save(model, tmp_path / "model", trusted=[name])


def test_errors_name_a_single_estimator_by_its_class(tmp_path):
    with pytest.raises(TypeError, match=r"save stores the estimator Codes only if you trust its types"):
        save(Codes().fit(X, Y), tmp_path / "codes")


@pytest.mark.parametrize("trusted", [True, "sklearn.tree._tree.Tree", [1]])
def test_trusted_is_a_list_of_types(trusted, tmp_path):
    net = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, Y)
    with pytest.raises(TypeError, match="trusted must be a list of types or of their full names"):
        save(net, tmp_path / "net", trusted=trusted)


def test_xgboost_is_saved_if_it_is_trusted(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    model = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=2)).fit(X, Y)
    trusted = [xgboost.XGBClassifier, xgboost.Booster]
    save(model, tmp_path / "model", trusted=trusted)
    again = load(tmp_path / "model", trusted=trusted)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


# -- forged members ----------------------------------------------------------------------------------------------------


def rewritten(content, forge):
    """Return the bytes of a skops file after ``forge`` has changed its entries, a dict."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    forge(entries)
    return zipped(entries)


def forge_members(path, forge):
    """Rewrite an archive with altered skops members."""
    manifest, arrays = read_archive(path)
    manifest = json.loads(manifest)
    for key, array in arrays.items():
        if array.tobytes().startswith(b"PK"):
            arrays[key] = np.frombuffer(rewritten(array.tobytes(), forge), np.uint8)
    write_archive(path, manifest, arrays)


def change_field(field, value):
    """Return a forgery that sets a field of the first node in each array of nodes."""

    def forge(entries):
        for name, part in entries.items():
            if (
                name.endswith(".npy")
                and (array := np.load(io.BytesIO(part))).dtype.names
                and field in array.dtype.names
            ):
                array[field][0] = value
                buffer = io.BytesIO()
                np.save(buffer, array)
                entries[name] = buffer.getvalue()

    return forge


@pytest.mark.parametrize(
    ("member", "field", "value", "match"),
    [
        (tree.DecisionTreeClassifier(max_depth=2), "left_child", 10**6, "children of a node"),
        (tree.DecisionTreeClassifier(max_depth=2), "right_child", 0, "children of a node"),  # a cycle
        (tree.DecisionTreeClassifier(max_depth=2), "feature", 4, "feature indices"),
        (ensemble.RandomForestClassifier(2), "left_child", 10**6, "children of a node"),
        (ensemble.GradientBoostingClassifier(n_estimators=2), "feature", 400, "feature indices"),
        (ensemble.HistGradientBoostingClassifier(max_iter=2), "left", 10**6, "children of a node"),
        (ensemble.HistGradientBoostingClassifier(max_iter=2), "feature_idx", 10**6, "feature_idx must be"),
        (neighbors.KNeighborsClassifier(), "idx_end", 10**6, "existing rows"),
        (neighbors.KNeighborsClassifier(algorithm="ball_tree"), "idx_start", -5, "existing rows"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else str(value)[:12],
)
def test_indices_out_of_range_are_rejected(member, field, value, match, tmp_path):
    save(VotingClassifier([("member", member)]).fit(X, NAMES), tmp_path / "vote")
    forge_members(tmp_path / "vote", change_field(field, value))
    with pytest.raises(ValueError, match=rf"member' \({type(member).__name__}\).*{match}"):
        load(tmp_path / "vote")


def test_forged_members_never_crash_a_process():
    script = Path(__file__).with_name("_hostile_members.py")
    run = subprocess.run([sys.executable, "-W", "ignore", script, "15"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    counts = json.loads(run.stdout)
    assert counts["refused"] > 20 and counts["used"] > 20


@pytest.mark.long
def test_many_forged_members_never_crash_a_process():
    script = Path(__file__).with_name("_hostile_members.py")
    run = subprocess.run([sys.executable, "-W", "ignore", script, "1000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


def test_a_member_cannot_claim_more_memory_than_its_size(tmp_path):
    save(VotingClassifier([("tree", tree.DecisionTreeClassifier())]).fit(X, Y), tmp_path / "vote")

    def claim(entries):
        for name in [name for name in entries if name.endswith(".npy")]:
            entries[name] = entries[name].replace(b"'shape': (", b"'shape': (90000000000, ", 1)

    forge_members(tmp_path / "vote", claim)
    with pytest.raises(ValueError, match=r"takes \d+ bytes, got \d+"):
        load(tmp_path / "vote")


def test_a_compressed_member_is_rejected(tmp_path):
    save(VotingClassifier([("tree", tree.DecisionTreeClassifier())]).fit(X, Y), tmp_path / "vote")
    manifest, arrays = read_archive(tmp_path / "vote")
    manifest = json.loads(manifest)
    key = next(key for key, array in arrays.items() if array.tobytes().startswith(b"PK"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**7))
    arrays[key] = np.frombuffer(buffer.getvalue(), np.uint8)
    write_archive(tmp_path / "vote", manifest, arrays)
    with pytest.raises(ValueError, match="must not inflate to 10000000"):
        load(tmp_path / "vote")


def test_the_feature_indices_of_forests_are_checked(tmp_path):
    forest = ensemble.RandomForestClassifier(2, random_state=0).fit(X, Y)
    forest.n_features_in_ = 2  # like a forged file: the trees would read beyond the rows
    with pytest.raises(
        TypeError, match=r"RandomForestClassifier\), which load cannot check .*estimators_ must read 2 features each"
    ):
        save(make_pipeline(StandardScaler().fit(X), forest), tmp_path / "forest")


def test_hist_gradient_boosting_with_a_categorical_data_frame(tmp_path):
    frame = pd.DataFrame({"size": X[:, 0], "kind": pd.Categorical(np.where(X[:, 1] > 3, "wide", "narrow"))})
    boosting = ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(frame, Y)
    encoder = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough").fit(frame)
    vote = VotingClassifier([("boosting", boosting), ("line", make_pipeline(encoder, LogisticRegression()))])
    vote.fit(frame, NAMES)
    save(vote, tmp_path / "vote")
    np.testing.assert_array_equal(load(tmp_path / "vote").predict(frame), vote.predict(frame))
