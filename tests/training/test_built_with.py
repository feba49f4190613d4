from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import NetClassifier, PretrainedFeatures
from sktricks.training._built_with import as_text, describe_build


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (0.1, "0.1"),
        (np.float64(0.1), "0.1"),
        (np.True_, "True"),
        ("sgd", "'sgd'"),
        (np.str_("sgd"), "'sgd'"),
        (torch.optim.SGD, "torch.optim.sgd.SGD"),
        (nn.functional.mse_loss, "torch.nn.functional.mse_loss"),
        (nn.Linear(2, 3), "torch.nn.modules.linear.Linear()"),
        (partial(nn.Linear, 2), "functools.partial()"),
        ({"module__width": 8, "module__act": (nn.ReLU,)}, "{'module__width': 8, 'module__act': [%s]}"),
    ],
)
def test_values_as_text(value, text):
    assert as_text(value) == text.replace("%s", "torch.nn.modules.activation.ReLU")


def test_parameters_that_do_not_build_are_left_out():
    assert describe_build(PretrainedFeatures("lite0", device="cuda")) == {"backbone": "'lite0'"}
    one, other = NetClassifier(lr=0.1, callbacks=[]), NetClassifier(max_epochs=3, batch_size=5)
    assert describe_build(one) == describe_build(other) != describe_build(NetClassifier(loss="bce"))
    assert "callbacks" in describe_build(NetClassifier(net_params={"callbacks__print": None}))
