"""A few images are predicted in a small batch if the results have the same bits."""

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import FineTuneClassifier, NetClassifier, PretrainedFeatures
from sktricks.training._batch_ladder import smallest_batch

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(80) % 2


class Sizes(nn.Module):
    """Records the sizes of its batches; from size ``exact_from`` on, rows have the bits of a large batch."""

    def __init__(self, n_outputs=2, exact_from=2):
        super().__init__()
        self.linear, self.exact_from, self.sizes = nn.Linear(64, n_outputs), exact_from, []

    def forward(self, x):
        self.sizes.append(len(x))
        y = torch.stack([self.linear(row) for row in x.flatten(1)])  # a product for each row: bits never differ
        return y if len(x) >= self.exact_from else y * (1 + 1e-6)


def batch_for(n, module, usual=64, setting=None):
    def run(images):
        with torch.no_grad():
            return module(images.float())

    return smallest_batch(run, module, torch.from_numpy(IMAGES[:n]), usual, setting)


@pytest.mark.parametrize(
    ("n", "exact_from", "expected"),
    [(1, 1, 2), (1, 2, 2), (2, 2, 2), (3, 2, 4), (8, 2, 8), (33, 2, 64), (64, 2, 64), (80, 2, 64)]
    + [(1, 16, 16), (9, 16, 16), (17, 16, 32), (1, 64, 64), (5, 33, 64)],
)
def test_the_smallest_batch_with_the_usual_bits(n, exact_from, expected):
    assert batch_for(n, Sizes(exact_from=exact_from)) == expected


def test_a_usual_batch_that_is_no_power_of_two():
    assert [batch_for(n, Sizes(), usual=28) for n in (1, 16, 17, 28)] == [2, 16, 28, 28]


def test_a_size_is_tried_out_once_for_each_setting():
    module = Sizes()
    batch_for(1, module)
    n_calls = len(module.sizes)
    batch_for(2, module)
    assert len(module.sizes) == n_calls > 0
    batch_for(2, module, setting="bfloat16")
    assert len(module.sizes) == 2 * n_calls


def test_few_numbers_are_compared_in_several_batches():
    module = Sizes(n_outputs=1)
    batch_for(1, module)
    assert module.sizes == [64] + 32 * [2]


def test_outputs_that_are_all_equal_prove_nothing():
    module = Sizes()
    nn.init.zeros_(module.linear.weight)
    assert batch_for(1, module) == 64
    nn.init.normal_(module.linear.weight)
    assert batch_for(1, module) == 2


@pytest.mark.parametrize(("exact_from", "expected"), [(2, 2), (33, 64)])
def test_one_image_is_predicted_in_the_smallest_batch(exact_from, expected):
    module = Sizes(exact_from=exact_from)
    net = NetClassifier(module, max_epochs=1, random_state=0).fit(IMAGES, LABELS)
    all_rows = net.predict_proba(IMAGES)
    net.predict_proba(IMAGES[:1])
    seen = net.net_.module_.sizes
    seen.clear()
    assert np.array_equal(net.predict_proba(IMAGES[:1]), all_rows[:1])
    assert seen == [expected]


NETS = {
    "probe": PretrainedFeatures(cache=None),
    "fine-tune": FineTuneClassifier(strategy="fine-tune", max_epochs=1, random_state=0),
}


@pytest.mark.parametrize("case", NETS)
def test_features_do_not_depend_on_the_batch(case):
    net = NETS[case].fit(IMAGES, LABELS)
    outputs_of = getattr(net, "transform", None) or net.predict_proba
    expected = outputs_of(IMAGES)
    for n in (1, 2, 3, 7, 20, 33):
        assert np.array_equal(outputs_of(IMAGES[:n]), expected[:n])
        assert np.array_equal(outputs_of(IMAGES[-n:]), expected[-n:])


def test_a_prediction_leaves_the_modes_of_modules_alone():
    net = NetClassifier(Sizes, max_epochs=1, random_state=0).fit(IMAGES, LABELS)
    net.predict(IMAGES)
    calls, module = [], net.net_.module_
    module.train = lambda mode=True: calls.append(mode)
    net.predict(IMAGES[:1])
    assert not module.training and not calls


def test_a_frozen_net_predicts_one_image_with_the_bits_of_many():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    net = FineTuneClassifier("tiny32", strategy="linear-probe", max_epochs=5, cache=None, random_state=0)
    expected = net.fit(images, np.arange(40) % 4).predict_proba(images)
    one_by_one = np.concatenate([net.predict_proba(image[None]) for image in images])
    np.testing.assert_array_equal(one_by_one, expected)
