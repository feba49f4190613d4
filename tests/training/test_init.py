import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sktricks import NetClassifier, NetRegressor, load, save
from sktricks.training._initial_weights import draw_weights
from sktricks.training._modules import ResidualMLP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Mixed(nn.Module):
    """Layers of several kinds, one of which is initially 0, and layers without weights to draw."""

    def __init__(self, n_features=6, n_outputs=2):
        super().__init__()
        self.conv = nn.Conv1d(1, 50, 3)
        self.wide = nn.Linear(200, 400)
        self.norm = nn.BatchNorm1d(50)
        self.zero = nn.Linear(50, 50, bias=False)
        self.head = nn.Linear(50, n_outputs)
        nn.init.zeros_(self.zero.weight)
        nn.init.constant_(self.norm.weight, 3.0)

    def forward(self, x):
        return self.head(self.zero(self.norm(self.conv(x.unsqueeze(1)).mean(2))))


class Keep(Callback):
    """The weights when training begins."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.weights = {name: p.detach().clone() for name, p in net.module_.named_parameters()}


def first_weights(net):
    net = net.set_params(max_epochs=1, callbacks=[("keep", Keep())]).fit(X, Y)
    return dict(net.net_.callbacks_)["keep"].weights


@pytest.mark.parametrize(
    ("init", "spread"), [("he", (2 / 200) ** 0.5), ("xavier", (2 / 600) ** 0.5)], ids=["he", "xavier"]
)
def test_weights_have_the_variance_that_the_papers_give_them(init, spread):
    weights = first_weights(NetClassifier(Mixed, init=init, random_state=0))
    wide = weights["wide.weight"]
    assert wide.std().item() == pytest.approx(spread, rel=0.02) and abs(wide.mean().item()) < 0.01 * spread**0.5
    if init == "xavier":
        assert wide.abs().max().item() == pytest.approx(3**0.5 * spread, rel=1e-3)
    for name in ("conv.bias", "wide.bias", "head.bias"):
        assert not weights[name].any()


def test_a_map_that_begins_as_zero_and_norms_are_left_as_they_are():
    weights = first_weights(NetClassifier(Mixed, init="he", random_state=0))
    assert not weights["zero.weight"].any()
    assert (weights["norm.weight"] == 3).all()


def test_the_default_leaves_a_module_as_it_builds_itself():
    with torch.random.fork_rng():
        torch.manual_seed(NetClassifier(Mixed, max_epochs=1, random_state=0).fit(X, Y)._seed)
        expected = dict(Mixed().named_parameters())
    for name, weight in first_weights(NetClassifier(Mixed, random_state=0)).items():
        assert torch.equal(weight, expected[name]), name


@pytest.mark.parametrize("make", [NetClassifier, NetRegressor])
@pytest.mark.parametrize("init", ["he", "xavier"])
def test_the_default_module_begins_elsewhere_and_its_blocks_still_as_the_identity(make, init):
    drawn, own = (first_weights(make(init=name, random_state=0)) for name in (init, "default"))
    assert not torch.equal(drawn["embed.weight"], own["embed.weight"])
    assert not drawn["blocks.0.contract.weight"].any()
    assert drawn["head.weight"].std() > 3 * own["head.weight"].std()


def test_draws_follow_the_seed():
    one, same, other = (first_weights(NetClassifier(init="he", random_state=seed)) for seed in (0, 0, 1))
    assert torch.equal(one["embed.weight"], same["embed.weight"])
    assert not torch.equal(one["embed.weight"], other["embed.weight"])


def test_transposed_convolutions_are_drawn_too():
    conv = nn.ConvTranspose2d(4, 8, 3)
    nn.init.constant_(conv.weight, 9.0)
    draw_weights(conv, "he")
    assert conv.weight.abs().max() < 3


def test_a_table_of_categories_alone_has_a_map_without_inputs():
    module = ResidualMLP(0, 2, n_categories=(3,))
    draw_weights(module, "he")
    assert module(torch.ones(2, 1)).shape == (2, 2)


def test_an_instance_has_weights_of_its_own():
    net = NetClassifier(Mixed(), init="he")
    with pytest.raises(ValueError, match=r"init='he' requires a module class, got an instance.* init='default'"):
        net.fit(X, Y)
    instance = Mixed()
    weights = first_weights(NetClassifier(instance))
    for name, weight in instance.named_parameters():
        assert torch.equal(weights[name], weight), name


def test_an_unknown_start_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'init' parameter .* must be a str among .*'he'"):
        NetClassifier(init="orthogonal").fit(X, Y)


def test_a_saved_net_comes_back(tmp_path):
    net = NetClassifier(init="he", max_epochs=2, random_state=0).fit(X, Y)
    save(net, tmp_path / "net")
    again = load(tmp_path / "net")
    assert again.init == "he"
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
