"""Members and folds on the workers of a real cluster, one of which dies during the fit."""

import os
import signal
import sys
from concurrent.futures import CancelledError

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from sktricks import FeatureCache, FineTuneClassifier, NetClassifier, PretrainedFeatures
from sktricks.ensemble import CascadeClassifier, StackingClassifier, VotingClassifier

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

X, y = load_iris(return_X_y=True)
LABELS = np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2)  # with one, joblib would do the work here
        yield client


class Tells(GaussianNB):
    """A member that records the process in which it was fitted."""

    def fit(self, X, y):
        self.process_ = os.getpid()
        return super().fit(X, y)


class DiesOnce(LogisticRegression):
    """A member whose first fit kills the process it runs in."""

    def __init__(self, note=None):
        super().__init__(max_iter=1000)
        self.note = note

    def fit(self, X, y):
        try:
            os.close(os.open(self.note, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return super().fit(X, y)
        os.kill(os.getpid(), signal.SIGKILL)


class Lost(GaussianNB):
    """A member whose rows are lost, once per remaining line in a file."""

    def __init__(self, note=None):
        super().__init__()
        self.note = note

    def fit(self, X, y):
        first, _, rest = self.note.read_text().partition("\n")
        self.note.write_text(rest)
        if first:
            raise CancelledError("already forgotten")
        return super().fit(X, y)


def members(*more):
    return [
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("net", NetClassifier(max_epochs=5, random_state=0)),
        *more,
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: VotingClassifier(members(), voting="soft", weights="simplex"),
        lambda: StackingClassifier(members()),
        lambda: CascadeClassifier(members(), tolerance=0.1),
    ],
    ids=["vote", "stack", "cascade"],
)
def test_the_cluster_gives_what_one_process_gives(make, client):
    alone = make().fit(X, LABELS)
    with parallel_config(backend="dask"):
        spread = make().fit(X, LABELS)
    np.testing.assert_allclose(spread.predict_proba(X), alone.predict_proba(X), rtol=1e-4, atol=1e-6)


def test_members_are_fitted_by_the_workers(client):
    with parallel_config(backend="dask"):
        vote = VotingClassifier([(f"bayes{number}", Tells()) for number in range(4)]).fit(X, y)
    processes = {member.process_ for member in vote.estimators_}
    assert processes <= set(client.run(os.getpid).values()) and os.getpid() not in processes


@pytest.mark.parametrize("kind", [VotingClassifier, StackingClassifier])
def test_a_worker_that_dies_loses_nothing(kind, client, tmp_path):
    before = set(client.run(os.getpid).values())
    mortal, immortal = tmp_path / "dies", tmp_path / "lives"
    immortal.touch()
    params = {"voting": "soft", "weights": "greedy"} if kind is VotingClassifier else {}
    with parallel_config(backend="dask"):
        spread = kind(members(("mortal", DiesOnce(str(mortal)))), **params).fit(X, LABELS)
    assert mortal.exists() and set(client.run(os.getpid).values()) != before
    alone = kind(members(("mortal", DiesOnce(str(immortal)))), **params).fit(X, LABELS)
    np.testing.assert_allclose(spread.predict_proba(X), alone.predict_proba(X), rtol=1e-4, atol=1e-6)


def test_rows_that_died_with_a_worker_are_sent_again(tmp_path):
    note = tmp_path / "note"
    note.write_text("lost\nlost\n")
    assert VotingClassifier([("lost", Lost(note))]).fit(X, y).score(X, y) > 0.9
    note.write_text("lost\n" * 5)
    with pytest.raises(RuntimeError, match="workers of the cluster died 5 times"):
        VotingClassifier([("lost", Lost(note))]).fit(X, y)


def test_workers_encode_images_for_each_other(client, tmp_path):
    images, labels = load_digits(return_X_y=True)
    images, labels = images[:80], labels[:80]
    folder = str(tmp_path / "features")

    def encode(part):
        PretrainedFeatures("tiny32", image_shape=(8, 8), cache=folder).fit_transform(part)
        return os.getpid()

    parts = np.array_split(images, 4)
    workers = list(client.run(os.getpid))
    processes = client.gather([client.submit(encode, part, workers=workers[i % 2]) for i, part in enumerate(parts)])
    assert len(set(processes)) == 2

    cache = FeatureCache(folder)
    FineTuneClassifier("tiny32", image_shape=(8, 8), cache=cache, max_epochs=1, random_state=0).fit(images, labels)
    assert (cache.info().encoded, cache.info().rows_in_folder) == (0, 80)
