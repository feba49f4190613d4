"""The output of the frozen layers is computed once per image if the net can be split after them."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sktricks import FeatureCache, FineTuneClassifier, FreezeLayers, RandomCrop, load, load_backbone, save
from sktricks.transfer.freezing._boundary import find_crossing
from sktricks.transfer.freezing._layers import find_boundary

LABELS = np.arange(40) % 2
IMAGES = np.random.default_rng(0).integers(0, 120, (40, 8, 8)).astype(np.uint8)
IMAGES[LABELS == 1] += 100


class Block(nn.Module):
    """A convolution with a skip connection from the image."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return nn.functional.relu(x + self.norm(self.conv(x)), inplace=True)


class Net(nn.Module):
    """A stem and three blocks with dropout, which counts the images in its stem."""

    seen = []

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem, self.drop = nn.Conv2d(1, 4, 3), nn.Dropout(0.2)
            self.blocks = nn.ModuleList([Block(), Block(), Block()])

    def forward(self, x):
        Net.seen.append(int((x.flatten(1) != 0).any(1).sum()))
        x = self.drop(self.stem(x).relu_())
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


class Tokens(nn.Module):
    """A small vision transformer: patches, a class token, position embeddings, and two attention layers."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.token, self.positions = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.layers = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3)))

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.layers(x)[:, 0]


class Skips(Net):
    """A net with a skip connection from the stem to the end."""

    def forward(self, x):
        x = stem = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return (x + stem).mean((2, 3))


class Repeats(Net):
    """The first block is called twice."""

    def forward(self, x):
        x = self.stem(x)
        for block in (self.blocks[0], *self.blocks):
            x = block(x)
        return x.mean((2, 3))


class Peeks(Net):
    """The control flow depends on the output of the stem."""

    def forward(self, x):
        x = self.stem(x)
        if not bool(x.any()):
            raise ValueError("nothing to see")
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


class Pairs(Net):
    """The stem returns two outputs."""

    class Stem(nn.Conv2d):
        def forward(self, x):
            return super().forward(x), x

    def __init__(self):
        super().__init__()
        self.stem = Pairs.Stem(1, 4, 3)

    def forward(self, x):
        x, _ = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


def net(**params):
    settings = {"backbone": Net, "strategy": "fine-tune", "freeze_until": "blocks.2", "cache": FeatureCache()}
    return FineTuneClassifier(**{**settings, "max_epochs": 4, "random_state": 0, **params})


def images_seen(run):
    """The number of images in the stem, without those that are all zero."""
    Net.seen.clear()
    run()
    return sum(Net.seen)


def crossing(backbone, freeze_until, stages=None):
    backbone = load_backbone(backbone, image_shape=(8, 8, 1))
    return find_crossing(backbone, find_boundary(backbone.layers, freeze_until), stages, (8, 8, 1))


# -- where a net can be cut --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backbone, freeze_until, name",
    [
        (Net, "blocks.0", "stem"),
        (Net, "blocks.1", "blocks.0"),
        (Net, "blocks.2", "blocks.1"),
        (Tokens, "layers.0", "patches"),
        (Tokens, "layers.2", "layers.1"),
        (Skips, "blocks.0", "stem"),
        (Pairs, "blocks.1", None),
        (Peeks, "blocks.1", None),
        (Repeats, "blocks.1", None),
        (Skips, "blocks.1", None),
        (Net, "blocks.1.norm", None),  # the block adds what came before it
    ],
)
def test_a_net_is_cut_where_one_part_tells_all(backbone, freeze_until, name):
    found = crossing(backbone, freeze_until)
    assert name == (None if found is None else found.name)


def test_features_of_earlier_stages_are_not_lost():
    assert crossing(Net, "blocks.2", ["blocks.1", "blocks.2"]).name == "blocks.1"
    assert crossing(Net, "blocks.2", ["blocks.0", "blocks.2"]) is None


def test_a_cut_leaves_no_trace():
    backbone = load_backbone(Net, image_shape=(8, 8, 1))
    before = {name: set(vars(part)) for name, part in backbone.named_modules()}
    hooks = [len(part._forward_hooks) for part in backbone.modules()]
    find_crossing(backbone, 3, None, (8, 8, 1))
    assert {name: set(vars(part)) for name, part in backbone.named_modules()} == before
    assert [len(part._forward_hooks) for part in backbone.modules()] == hooks


# -- training behind it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze_until", ["blocks.0", "blocks.1", "blocks.2"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_is_the_same_as_without_a_cache(freeze_until, early_stopping):
    params = {"freeze_until": freeze_until, "early_stopping": early_stopping, "batch_size": 16}
    cut, whole = net(**params).fit(IMAGES, LABELS), net(**params, cache=None).fit(IMAGES, LABELS)
    assert cut._prefix.boundary is not None and whole._prefix.boundary is None
    np.testing.assert_allclose(cut.predict_proba(IMAGES), whole.predict_proba(IMAGES), rtol=1e-4, atol=1e-6)
    assert cut.net_.history[:, "train_loss"] == pytest.approx(whole.net_.history[:, "train_loss"], rel=1e-4)


def test_images_pass_the_frozen_part_once():
    estimator = net()
    once = images_seen(lambda: estimator.fit(IMAGES, LABELS))
    known = images_seen(lambda: estimator.fit(IMAGES, LABELS))
    assert once - known == len(IMAGES)
    assert images_seen(lambda: net(cache=None).fit(IMAGES, LABELS)) >= 4 * len(IMAGES)


def test_folds_and_candidates_share_what_crossed():
    cache = FeatureCache()
    GridSearchCV(net(cache=cache), {"lr": [1e-3, 1e-2]}, cv=4).fit(IMAGES, LABELS)
    assert cache.info().encoded == len(IMAGES)


@pytest.mark.parametrize(
    "params",
    [
        {"cache": None},
        {"cache": FeatureCache(max_bytes=40 * 4 * 6 * 6 * 4)},
        {"augmenter": RandomCrop(padding=1)},
        {"callbacks": [FreezeLayers("backbone.model.blocks.2", unfreeze_at=2)], "freeze_until": None},
        {"freeze_until": None},
        {"strategy": "gradual"},
        {"strategy": "lp-ft"},
        {"backbone": Skips},
    ],
    ids=lambda params: "-".join(params),
)
def test_images_are_kept_where_it_would_be_wrong_or_large(params):
    assert net(**{"max_epochs": 1, **params}).fit(IMAGES, LABELS)._prefix.boundary is None


class Thaws(Callback):
    """Checks that frozen layers do not change."""

    def on_train_begin(self, net, **kwargs):
        self.before = {name: tensor.clone() for name, tensor in self.frozen(net)}

    def on_train_end(self, net, **kwargs):
        assert all(torch.equal(tensor, self.before[name]) for name, tensor in self.frozen(net))

    @staticmethod
    def frozen(net):
        model = net.module_.backbone.model
        return [
            (f"{name} {inner}", tensor)
            for name in ("stem", "blocks.0", "blocks.1")
            for inner, tensor in model.get_submodule(name).state_dict().items()
        ]


def test_the_frozen_part_stays_and_the_rest_learns():
    estimator = net(callbacks=[Thaws()]).fit(IMAGES, LABELS)
    last = estimator.backbone_.model.blocks[2]
    assert not torch.equal(last.conv.weight, Net().blocks[2].conv.weight)
    assert int(last.norm.num_batches_tracked) > 0 and estimator.batch_norm_ == "batch"


@pytest.mark.parametrize("again", ["warm_start", "partial_fit"])
def test_training_goes_on(again, tmp_path):
    cut, whole = net(warm_start=True), net(warm_start=True, cache=None)
    for estimator in (cut, whole):
        estimator.fit(IMAGES, LABELS)
        estimator.fit(IMAGES, LABELS) if again == "warm_start" else estimator.partial_fit(IMAGES, LABELS)
    np.testing.assert_allclose(cut.predict_proba(IMAGES), whole.predict_proba(IMAGES), rtol=1e-4, atol=1e-6)
    save(cut, tmp_path / "net")
    for copy in (pickle.loads(pickle.dumps(cut)), load(tmp_path / "net", params={"backbone": Net})):
        np.testing.assert_array_equal(copy.predict_proba(IMAGES), cut.predict_proba(IMAGES))
        copy.partial_fit(IMAGES, LABELS)


def test_threads_share_a_boundary():
    backbone = load_backbone(Net, image_shape=(8, 8, 1))
    boundary = find_crossing(backbone, 3, None, (8, 8, 1))
    images = torch.rand(4, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    backbone.model.eval()
    encode = torch.no_grad()(partial(boundary.encode_prefix, backbone))
    expected, barrier = list(map(encode, images)), threading.Barrier(4)

    def wait(module, inputs):
        barrier.wait(30)

    backbone.model.register_forward_pre_hook(wait)  # until all threads have begun
    with ThreadPoolExecutor(4) as pool:
        for found, one in zip(pool.map(encode, images), expected, strict=True):
            torch.testing.assert_close(found, one)


def test_threads_share_a_suffix():
    """A fixed output applies only to the thread that set it, while others set their own or run the net."""
    backbone = load_backbone(Net, image_shape=(8, 8, 1))
    boundary = find_crossing(backbone, 3, None, (8, 8, 1))
    images = torch.rand(4, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    backbone.model.eval()
    with torch.no_grad():
        values = [boundary.encode_prefix(backbone, some) for some in images]
        expected = list(map(backbone.features, images))
    barrier, inside = threading.Barrier(4), threading.local()

    def wait(module, inputs):
        inside.passed = True
        barrier.wait(30)

    @torch.no_grad()
    def run(number):
        if number == 3:
            return backbone.features(images[number])
        return boundary.run_suffix(backbone, values[number], None)

    with ThreadPoolExecutor(4) as pool:
        for part in (backbone.model, backbone.model.blocks[2]):  # all have begun; all are in the suffix
            hook = part.register_forward_pre_hook(wait)
            for found, one in zip(pool.map(run, range(4)), expected, strict=True):
                torch.testing.assert_close(found, one)
            hook.remove()
    assert not any("forward" in vars(part) for part in backbone.model.modules())


def test_a_forward_that_was_replaced_stays_replaced():
    """As nets of the hubs replace it."""
    backbone = load_backbone(Net, image_shape=(8, 8, 1))
    own = backbone.model.stem.forward = partial(nn.Conv2d.forward, backbone.model.stem)
    boundary = find_crossing(backbone, 3, None, (8, 8, 1))
    assert boundary.name == "blocks.0" and backbone.model.stem.forward is own
