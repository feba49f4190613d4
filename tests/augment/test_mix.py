import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sktricks.augment import CutMix, MixUp, RandomApply, UnmixedRowsWarning, make_augmentation_pipeline
from sktricks.augment._plan import mix_targets, split_weights, weight_targets
from sktricks.augment.transforms._mix import draw_partners, draw_weights, read_target

n = 60
X = np.random.default_rng(0).random((n, 4, 5))
codes = np.arange(n) % 3
names = np.array(["cat", "dog", "owl"])[codes]


@pytest.mark.parametrize(
    "augmenter",
    [
        MixUp(1.0),
        CutMix(),
        make_augmentation_pipeline(CutMix(), MixUp(1.0)),
        RandomApply(make_augmentation_pipeline(MixUp(1.0), MixUp(1.0)), p=0.7),
    ],
)
def test_losses_of_weighted_mixed_targets_are_those_of_their_parts(augmenter):
    plan = augmenter._plan(augmenter._make_rng(0), n, (4, 5, 1))
    weight, values = np.linspace(0.1, 5, n), np.random.default_rng(0).normal(size=n)
    parts = mix_targets(plan, np.eye(n))  # the weight of each row in each mixed row
    logits = np.random.default_rng(1).normal(size=(n, 3))
    mixed, mixed_weight = split_weights(mix_targets(plan, weight_targets(np.eye(3)[codes], weight)), (3,))
    assert_allclose(mixed_weight, parts @ weight)
    assert_allclose(
        -(mixed_weight[:, None] * mixed * logits).sum(1), -((parts * weight) @ np.eye(3)[codes] * logits).sum(1)
    )
    mean, mean_weight = split_weights(mix_targets(plan, weight_targets(values, weight)), ())
    slope = mean_weight * (logits[:, 0] - mean)  # of half the squared error
    assert_allclose(slope, (parts * weight * (logits[:, :1] - values)).sum(axis=1), atol=1e-12)
    assert mean.shape == (n,)


def params_of(augmenter):
    return augmenter.draw(augmenter._make_rng(), n, (4, 5, 1))


@pytest.mark.parametrize(
    "labels",
    [codes, names, names.astype(object), names.tolist(), codes.astype(object), codes > 0, codes.astype(np.uint8)],
    ids=lambda labels: str(getattr(labels, "dtype", "list")),
)
def test_classes_become_probabilities(labels):
    mixup = MixUp(1.0, random_state=0)
    X_new, P = mixup.augment(X, labels)
    params = params_of(mixup)
    share, partner = params["share"][:, None], params["partner"]
    assert mixup.target_ == "classes"
    assert_array_equal(mixup.classes_, np.unique(labels))
    one_hot = (np.asarray(labels)[:, None] == mixup.classes_).astype(float)
    assert_allclose(P, share * one_hot + (1 - share) * one_hot[partner])
    assert_allclose(P.sum(axis=1), 1)
    assert_allclose(X_new, share[..., None] * X + (1 - share[..., None]) * X[partner])


@pytest.mark.parametrize(
    "targets",
    [
        np.linspace(0, 1, n),
        np.linspace(0, 1, n, dtype=np.float32),
        np.linspace(0, 1, n).astype(object),
        np.eye(3)[codes],
        np.eye(3, dtype=int)[codes],
        codes[:, None],
    ],
    ids=["float64", "float32", "object", "probabilities", "multilabel", "column"],
)
def test_values_are_mixed_directly(targets):
    mixup = MixUp(1.0, random_state=0)
    _, mixed = mixup.augment(X, targets)
    params = params_of(mixup)
    share = params["share"].reshape(-1, *[1] * (targets.ndim - 1))
    assert mixup.target_ == "values" and not hasattr(mixup, "classes_")
    assert mixed.shape == targets.shape
    assert mixed.dtype == (np.float32 if targets.dtype == np.float32 else np.float64)
    expected = share * targets + (1 - share) * targets[params["partner"]]
    assert_allclose(mixed, expected.astype(float), rtol=1e-6)


def test_target_sets_the_kind_of_y():
    assert MixUp(target="values").augment(X, codes)[1].shape == (n,)
    assert MixUp(target="classes").augment(X, codes.astype(float))[1].shape == (n, 3)
    assert MixUp(target="classes").augment(X, codes[:, None])[1].shape == (n, 3)
    assert MixUp(target="classes").augment(X, np.eye(4)[codes])[1].shape == (n, 4)
    fitted = MixUp().fit(X, codes)
    assert fitted.augment(X, codes.astype(float))[1].shape == (n, 3)  # the kind of y is that of fit
    assert fitted.set_params(target="values").augment(X, codes)[1].shape == (n,)


def test_weights_are_beta_distributed_and_partners_a_permutation():
    params = MixUp(0.4).draw(np.random.default_rng(0), 5000, (1, 1, 1))
    assert stats.kstest(params["share"], stats.beta(0.4, 0.4).cdf).pvalue > 0.01
    assert_array_equal(np.sort(params["partner"]), np.arange(5000))
    assert abs(np.corrcoef(params["share"][1:], params["share"][:-1])[0, 1]) < 0.03


def test_the_smallest_alpha_gives_weights_zero_or_one():
    for alpha in (1e-6, 1e-300, 5e-324):
        shares = draw_weights(np.random.default_rng(0), alpha, 1000)
        assert np.isin(np.round(shares, 6), [0, 1]).mean() > 0.99
        assert stats.binomtest(int((shares > 0.5).sum()), 1000).pvalue > 0.01


def test_partners_within_groups_are_uniform():
    groups = np.array([1, 0, 1, 0, 1, 7])
    rng = np.random.default_rng(0)
    counts = np.zeros((6, 6), dtype=int)
    for _ in range(1500):
        counts[np.arange(6), draw_partners(rng, 6, groups)] += 1
    same = groups[:, None] == groups
    assert not counts[~same].any()
    for group in (0, 1):
        rows = groups == group
        assert stats.chisquare(counts[np.ix_(rows, rows)], axis=1).pvalue.min() > 0.001


def test_fit_transform_mixes_within_classes():
    images = np.broadcast_to(codes[:, None, None], X.shape) + 0.1 * X
    mixup = MixUp(1.0, value_range=(0, 4), random_state=0)
    new = mixup.fit_transform(images, names)
    assert_array_equal(np.floor(new), np.floor(images))
    assert np.mean(np.any(new != images, axis=(1, 2))) > 0.8


@pytest.mark.parametrize("targets", [None, np.linspace(0, 1, n), np.eye(3, dtype=int)[codes]], ids=type)
def test_rows_are_not_mixed_without_classes_with_a_warning(targets):
    mixup = MixUp(1.0, random_state=0)
    with pytest.warns(UnmixedRowsWarning, match="MixUp does not mix the rows") as caught:
        assert_array_equal(mixup.fit_transform(X, targets), X)
    assert caught[0].filename == __file__


def test_augment_without_y_warns_too():
    with pytest.warns(UnmixedRowsWarning):
        assert_array_equal(MixUp(1.0).augment(X), X)


def test_alpha_zero_is_identity():
    X_new, P = MixUp(0).augment(X, codes)
    assert_array_equal(X_new, X)
    assert_array_equal(P, np.eye(3)[codes])


def test_integers_are_rounded():
    images = np.random.default_rng(1).integers(0, 256, (n, 4, 5), dtype=np.uint8)
    mixup = MixUp(1.0, random_state=0)
    new, _ = mixup.augment(images, codes)
    params = params_of(mixup)
    share = params["share"][:, None, None]
    assert_allclose(new, share * images + (1 - share) * images[params["partner"]], rtol=0, atol=0.5 + 1e-4)


def test_refit_resets_the_classes():
    mixup = MixUp().fit(X, codes)
    assert mixup.fit(X, X[:, 0, 0]).target_ == "values"
    assert not hasattr(mixup, "classes_")
    assert mixup.fit(X).target_ is None


def test_errors():
    fitted = MixUp().fit(X, names)
    with pytest.raises(ValueError, match=r"y has labels .* not among the classes \['cat', 'dog', 'owl'\]: \['cow'\]"):
        fitted.augment(X, np.where(codes == 0, "cow", names))
    with pytest.raises(ValueError, match='target="classes" requires labels, but MixUp got no y'):
        MixUp(target="classes").augment(X)
    with pytest.raises(ValueError, match="fitted without labels"):
        MixUp().fit(X).augment(X, names)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MixUp().fit(X, names[:5])
    with pytest.raises(ValueError, match="y must hold numbers"):
        MixUp(target="values").fit(X, names)
    with pytest.raises(ValueError, match="y must have shape"):
        MixUp().fit(X, np.zeros((n, 2, 2)))
    with pytest.raises(ValueError, match="y contains NaN"):
        MixUp().fit(X, np.where(codes == 0, np.nan, 1.0))
    with pytest.raises(TypeError, match="labels of one sortable type"):
        MixUp(target="classes").fit(X, np.array([None, "a", 1] * 20, dtype=object))
    with pytest.raises(ValueError, match="'alpha' parameter"):
        MixUp(-1).fit(X, names)
    with pytest.raises(ValueError, match="got no targets"):
        MixUp()._augment_images(X[..., None], MixUp()._make_rng(0), (0, 1))


def test_read_target_of_pandas():
    pd = pytest.importorskip("pandas")
    for series in (pd.Series(names), pd.Series(names, dtype="category"), pd.Series(codes, dtype="Int64")):
        assert read_target(series, n)[0] == "classes"
    assert read_target(pd.Series(codes, dtype="Float64"), n)[0] == "values"
