import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktricks import FeatureCache, NoPretrainedBackboneWarning, PretrainedFeatures, ValueRangeWarning, load_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 8, 8)).astype(np.uint8)
LABELS = np.arange(20) % 2
BRIGHT = np.where(LABELS[:, None, None] == 1, IMAGES // 2 + 127, IMAGES // 2)


class Conv(nn.Module):
    def __init__(self, channels=1):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Conv2d(4, 5, 3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x):
        return self.second(self.drop(self.norm(self.first(x)))).mean((2, 3))


def float64_conv():
    return Conv().double()


def test_features_are_those_of_the_backbone():
    backbone = load_backbone("tiny32")
    x = backbone.preprocess(torch.as_tensor(IMAGES[:, None] / 255, dtype=torch.float32))
    with torch.no_grad():
        expected = backbone.features(x, backbone.default_stages).numpy()
    features = PretrainedFeatures().fit_transform(IMAGES)
    np.testing.assert_allclose(features, expected, atol=1e-4)
    assert features.dtype == np.float32 and features.shape[0] == 20
    assert PretrainedFeatures().fit(IMAGES).backbone_.fingerprint() == backbone.fingerprint()


@pytest.mark.parametrize("spec", [Conv().double(), float64_conv], ids=["instance", "factory"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_float64_backbone_computes_in_float64(spec, cached, tmp_path):
    x = torch.from_numpy(IMAGES)[:, None].float() / 255
    with torch.no_grad():
        expected = float64_conv().eval()(x.double()).numpy()
    features = PretrainedFeatures(spec, cache=tmp_path if cached else None)
    for result in (features.fit_transform(IMAGES), features.transform(IMAGES), clone(features).fit_transform(IMAGES)):
        np.testing.assert_allclose(result, expected, rtol=1e-12)
        assert result.dtype == np.float64
    for dtype in (np.float32, np.float64):
        assert features.transform(IMAGES.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("stages", [["stage1"], ["stage2", "stage3"], ("stem",)])
def test_stages(stages):
    features = PretrainedFeatures(stages=stages).fit(IMAGES)
    backbone = load_backbone("tiny32")
    with torch.no_grad():
        expected = backbone.features(backbone.preprocess(torch.zeros(1, 1, 8, 8)), list(stages))
    assert features.transform(IMAGES[:2]).shape == (2, expected.shape[1])
    assert len(features.get_feature_names_out()) == expected.shape[1]
    assert features.get_feature_names_out()[1] == "pretrainedfeatures1"


@pytest.mark.parametrize("stages", [["third"], [], ["first", "third"]])
def test_unknown_stages(stages):
    with pytest.raises(ValueError, match=r"stages must be 'auto' or some of \['first', 'norm', 'second'\], got"):
        PretrainedFeatures(Conv, stages=stages).fit(IMAGES)


@pytest.mark.parametrize("backbone", ["tiny32", Conv])
def test_every_layout_gives_the_same(backbone):
    expected = PretrainedFeatures(backbone).fit_transform(IMAGES)
    with_channel = PretrainedFeatures(backbone).fit_transform(IMAGES[..., None])
    rows = PretrainedFeatures(backbone, image_shape=(8, 8)).fit_transform(IMAGES.reshape(20, 64))
    np.testing.assert_array_equal(with_channel, expected)
    np.testing.assert_array_equal(rows, expected)


def test_grey_images_are_colour_images_of_equal_channels():
    colour = np.repeat(IMAGES[..., None], 3, axis=3)
    expected = PretrainedFeatures().fit_transform(IMAGES)
    np.testing.assert_allclose(PretrainedFeatures().fit_transform(colour), expected, atol=1e-4)
    rows = PretrainedFeatures(image_shape=(8, 8, 3)).fit_transform(colour.reshape(20, -1))
    np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_dtypes():
    expected = PretrainedFeatures(Conv).fit_transform(IMAGES)
    for dtype, out in ((np.float32, np.float32), (np.float64, np.float64)):
        features = PretrainedFeatures(Conv).fit_transform(IMAGES.astype(dtype))
        assert features.dtype == out
        np.testing.assert_array_equal(features, expected)
    scaled = PretrainedFeatures(Conv).fit_transform(IMAGES / 255)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_the_value_range_is_learned_in_fit():
    features = PretrainedFeatures(Conv).fit(IMAGES.astype(float))
    dark = IMAGES.astype(float) / 256  # in 0..1, but the net was told 0..255
    with pytest.warns(ValueRangeWarning):
        found = features.transform(dark)
    np.testing.assert_allclose(found, PretrainedFeatures(Conv, value_range=(0, 255)).fit_transform(dark))


def test_a_row_does_not_depend_on_the_other_rows():
    features = PretrainedFeatures(Conv()).fit(IMAGES)
    whole = features.transform(IMAGES)
    np.testing.assert_array_equal(np.concatenate([features.transform(IMAGES[i : i + 1]) for i in range(20)]), whole)
    many = features.transform(np.concatenate([IMAGES] * 9))
    np.testing.assert_array_equal(many, np.concatenate([whole] * 9))


def test_fit_learns_nothing_but_shape_and_range():
    one, other = PretrainedFeatures(Conv).fit(IMAGES), PretrainedFeatures(Conv).fit(IMAGES[::-1][:5] // 2)
    np.testing.assert_array_equal(one.transform(IMAGES), other.transform(IMAGES))


def test_the_users_module_and_the_generator_stay():
    module = Conv().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = torch.get_rng_state()
    PretrainedFeatures(module).fit_transform(IMAGES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(part.training for part in module.modules()) and torch.equal(torch.get_rng_state(), generator)


def test_in_a_pipeline_a_search_and_cross_validation():
    model = make_pipeline(PretrainedFeatures(Conv), StandardScaler(), LogisticRegression())
    assert cross_val_score(model, BRIGHT, LABELS, cv=2).mean() > 0.9
    grid = {"pretrainedfeatures__stages": [["first"], ["first", "second"]], "logisticregression__C": [0.1, 1]}
    search = GridSearchCV(model, grid, cv=2).fit(BRIGHT, LABELS)
    assert search.best_score_ > 0.9
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(search)).predict(BRIGHT), search.predict(BRIGHT))


def test_pickle_and_frames():
    assert len(pickle.dumps(PretrainedFeatures())) < 10_000
    features = PretrainedFeatures(Conv, image_shape=(8, 8)).set_output(transform="pandas")
    frame = features.fit_transform(IMAGES.reshape(20, 64))
    assert list(frame.columns[:2]) == ["pretrainedfeatures0", "pretrainedfeatures1"]
    again = pickle.loads(pickle.dumps(features))
    assert again.transform(IMAGES.reshape(20, 64)).equals(frame)


def test_verbose_reports_the_backbone_and_what_was_encoded_and_reused(bars, caplog):
    features = PretrainedFeatures(cache=FeatureCache(), verbose=1)
    features.fit_transform(IMAGES)
    assert caplog.messages == ["backbone 'tiny32' at 32 x 32 pixels", "20 rows encoded once, reused 0 times"]
    features.transform(IMAGES[:5])
    assert caplog.messages[2:] == ["20 rows encoded once, reused 5 times"]
    features.set_params(cache=None).transform(IMAGES[:5])
    features.set_params(verbose=0, cache=FeatureCache()).fit_transform(IMAGES)
    assert len(caplog.messages) == 3
    assert bars == [("encoding", 20, 20), ("encoding", 5, 5), ("encoding", 5, 5)]


def test_a_table_passes_with_a_warning():
    X = RNG.normal(size=(20, 5))
    with pytest.warns(NoPretrainedBackboneWarning, match=r"image_shape=\(height, width\)") as caught:
        features = PretrainedFeatures().fit(X)
    assert caught[0].filename == __file__
    assert features.backbone_ is None
    np.testing.assert_array_equal(features.transform(X), X)
    assert len(features.get_feature_names_out()) == 5


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            np.zeros((4, 9, 8)),
            r"fitted on .* \(8, 8, 1\), but X has \(9, 8, 1\)\. Image files are resized, arrays are not",
        ),
        (np.zeros((4, 8, 8, 3)), r"fitted on images of shape \(8, 8, 1\), but X has \(8, 8, 3\)"),
        (np.zeros((4, 65)), "expecting 64 features"),
        (np.full((4, 8, 8), np.nan), "X contains NaN"),
        (np.zeros((20, 20, 3)), r"X\[None\]"),
    ],
)
def test_other_images_at_transform(X, message):
    with pytest.raises(ValueError, match=message):
        PretrainedFeatures(Conv).fit(IMAGES).transform(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"backbone": "tiny64"}, r"backbone='tiny64' is unknown.*\['tiny32', 'lite0'\]"),
        ({"image_shape": (8, 8, 3)}, r"image_shape=\(8, 8, 3\), got images of"),
        ({"value_range": (3, 3)}, "value_range"),
        ({"stages": "stage1"}, "stages"),
        ({"backbone": 3}, "backbone"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        clone(PretrainedFeatures()).set_params(**params).fit(IMAGES)


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match="must have images of 3 channels for this backbone, got 2"):
        PretrainedFeatures().fit_transform(np.zeros((3, 8, 8, 2)))
