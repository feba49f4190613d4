"""Properties found by a forward pass: stages, channel axes, the classifier, the image size."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import load_backbone
from sktricks.transfer.backbones import _stages
from sktricks.transfer.backbones._assemble import Net, assemble, fit_images
from sktricks.transfer.backbones._backbone import Preprocess
from sktricks.transfer.backbones._classifier import find_classifiers
from sktricks.transfer.backbones._stages import channel_axis, find_stages, main_tensor, recording_shapes
from sktricks.transfer.freezing._layers import call_order

X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def conv(n_in, n_out, stride=1):
    return nn.Conv2d(n_in, n_out, 3, stride, 1)


class Calls(nn.Module):
    """A net whose forward pass calls the given submodules in order, wherever they are registered."""

    def __init__(self, order, **parts):
        super().__init__()
        self.order = order
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        for name in self.order:
            x = self.get_submodule(name)(x)
        return x


def stages_of(model, example=X[:1]):
    with recording_shapes(model) as shapes:
        order = call_order(model, lambda: model(example))
    return find_stages(model, order, shapes)


# -- stages ------------------------------------------------------------------------------------------------------------


def test_direct_parts_in_execution_order():
    parts = {"late": nn.Sequential(conv(4, 8), conv(8, 8)), "act": nn.ReLU(), "early": conv(1, 4), "idle": conv(1, 4)}
    assert stages_of(Calls(["early", "act", "late"], **parts)) == ["early", "late"]


def test_a_wrapper_is_opened():
    body = nn.Sequential(conv(1, 4), nn.Sequential(conv(4, 4), conv(4, 8)), conv(8, 8))
    assert stages_of(nn.Sequential(nn.Sequential(body))) == ["0.0.0", "0.0.1", "0.0.2"]
    assert stages_of(Calls(["features", "norm"], features=body, norm=nn.BatchNorm2d(8))) == [
        *("features.0", "features.1", "features.2"),
        "norm",
    ]


def test_a_list_of_blocks_is_opened():
    blocks = nn.ModuleList(nn.Sequential(conv(4, 4), nn.ReLU()) for _ in range(3))
    order = ["stem", "encoder.0", "encoder.1", "encoder.2", "norm"]
    model = Calls(order, encoder=blocks, norm=nn.BatchNorm2d(4), stem=conv(1, 4))
    assert stages_of(model) == order


def test_of_many_blocks_the_last_of_each_resolution():
    widths = [4] * 6 + [8] * 6 + [12] * 6 + [16] * 2
    model = nn.Sequential(*(conv(n_in, n_out) for n_in, n_out in zip([1, *widths], widths, strict=False)))
    assert stages_of(model) == ["5", "11", "17", "19"]


def test_of_many_equal_blocks_every_so_many_th():
    model = nn.Sequential(*(conv(1, 1) for _ in range(24)))
    assert stages_of(model) == [str(n) for n in range(1, 24, 2)]
    assert len(stages_of(nn.Sequential(*(conv(1, 1) for _ in range(100))))) <= _stages.MAX_STAGES


def test_what_gives_nothing_for_each_image_is_no_stage():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.body = nn.Linear(3, 5), conv(1, 4)

        def forward(self, x):
            return self.body(x) + self.table(torch.ones(7, 3)).mean()

    assert stages_of(Positions(), X) == ["body"]


def test_a_net_must_give_rows():
    with pytest.raises(ValueError, match="backbone Sequential must return a tensor with one row per image"):
        load_backbone(nn.Sequential(nn.Flatten(0)), image_shape=(8, 8, 1))


# -- outputs and features ----------------------------------------------------------------------------------------------


def test_the_tensor_that_counts():
    a, b = torch.zeros(1), torch.ones(1)
    for output in (a, (a, b), [None, (a,)], {"x": a, "y": b}, SimpleNamespace(last_hidden_state=a, mask=b)):
        assert main_tensor(output) is a
    assert main_tensor(SimpleNamespace(last_hidden_state=b, pooler_output=a)) is a
    assert main_tensor(SimpleNamespace(last_hidden_state=a, pooler_output=None)) is a
    assert main_tensor(((), None, "x")) is None


@pytest.mark.parametrize(
    ("shape", "width", "axis"),
    [
        ((1, 5), 5, 1),
        ((1, 7, 5), 5, 2),  # tokens
        ((1, 7, 5), None, 2),
        ((1, 7, 5), 7, 1),  # a signal
        ((1, 5, 5), 5, 2),
        ((1, 5, 7, 7), 5, 1),
        ((1, 7, 7, 5), 5, 3),  # as in a Swin transformer
        ((1, 7, 9, 5), 5, 3),
        ((1, 7, 7, 5), None, 3),
        ((1, 5, 7, 9), None, 1),
        ((1, 7, 7, 7), 7, 1),
        ((1, 5, 2, 7, 7), 5, 1),
    ],
)
def test_channel_axis(shape, width, axis):
    assert channel_axis(shape, width) == axis


class Last(nn.Module):
    """Feature maps with channels last, then first again."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.tokens = conv(1, 4, 2), nn.Linear(4, 6), nn.LayerNorm(6)

    def forward(self, x):
        x = self.mix(self.embed(x).permute(0, 2, 3, 1))
        return {"tokens": self.tokens(x.flatten(1, 2))}


def test_features_of_channels_that_come_last():
    backbone = load_backbone(Last, image_shape=(8, 8, 1)).eval()
    assert backbone.stages == ["embed", "mix", "tokens"] and backbone.num_features == 6
    with torch.no_grad():
        maps = backbone.model.mix(backbone.model.embed(X).permute(0, 2, 3, 1))
        features = backbone.features(X, ["mix"])
        torch.testing.assert_close(features[:, :6], maps.mean((1, 2)))
        torch.testing.assert_close(features[:, 6::4], maps[:, :2, :2].mean((1, 2)))
        torch.testing.assert_close(backbone.features(X), backbone.model.tokens(maps.flatten(1, 2)).mean(1))


def test_nothing_is_computed_behind_what_is_asked_for():
    model = nn.Sequential(conv(1, 4), conv(4, 4), conv(4, 4))
    backbone = load_backbone(model, image_shape=(8, 8, 1))
    calls = []
    for name, part in backbone.model.named_children():
        part.register_forward_pre_hook(lambda module, inputs, name=name: calls.append(name))
    one = backbone.features(X, upto="1")
    assert calls == ["0", "1"]
    torch.testing.assert_close(backbone.features(X, ["1"]), one, rtol=0, atol=0)
    both = backbone.features(X, ["1", "0"])  # in the requested order
    assert calls == ["0", "1"] * 3
    torch.testing.assert_close(both[:, : one.shape[1]], one, rtol=0, atol=0)
    backbone.features(X)
    assert calls[-3:] == ["0", "1", "2"]
    assert not any(part._forward_hooks for part in backbone.model.modules())


def test_what_comes_behind_a_stage_does_not_change_its_features():
    model = nn.Sequential(conv(1, 4), nn.ReLU(inplace=True), conv(4, 4), nn.ReLU(inplace=True), conv(4, 4))
    backbone = load_backbone(model, image_shape=(8, 8, 1))
    alone = torch.cat([backbone.features(X, upto=stage) for stage in backbone.stages], 1)
    together = backbone.features(X, backbone.stages)
    torch.testing.assert_close(together, alone, rtol=0, atol=0)
    together.sum().backward()


def test_wrong_stages():
    backbone = load_backbone("tiny32")
    for stages in (["stage9"], [], ["stem", "pool"]):
        with pytest.raises(ValueError, match=r"stages must be among \['stem', 'stage1', 'stage2', 'stage3'\], got"):
            backbone.features(torch.zeros(1, 3, 32, 32), stages)
    with pytest.raises(ValueError, match="stages and upto cannot be combined"):
        backbone.features(torch.zeros(1, 3, 32, 32), ["stem"], upto="stem")


def test_fingerprints_know_the_structure():
    shared = conv(1, 1).state_dict()
    prints = set()
    for model in (nn.Conv2d(1, 1, 3, 1, 1), nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 1, 1, padding_mode="reflect")):
        model.load_state_dict(shared)
        prints.add(load_backbone(nn.Sequential(model, nn.ReLU()), image_shape=(8, 8, 1)).fingerprint())
    assert len(prints) == 3


def test_fingerprints_know_buffers_that_are_not_saved():
    class Shifted(nn.Sequential):
        def __init__(self, shift):
            super().__init__(nn.Conv2d(1, 2, 1))
            self.register_buffer("shift", torch.tensor(float(shift)), persistent=False)

    first, second = Shifted(1), Shifted(2)
    second.load_state_dict(first.state_dict())
    prints = {load_backbone(model, image_shape=(8, 8, 1)).fingerprint() for model in (first, second, first)}
    assert len(prints) == 2


# -- classifiers -------------------------------------------------------------------------------------------------------


def pooled(*parts):
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(pooled(conv(1, 4)), nn.Linear(4, 3)), ["1"]),
        (nn.Sequential(pooled(conv(1, 4)), nn.Linear(4, 3), nn.Softmax(1)), ["1"]),
        (nn.Sequential(pooled(conv(1, 4)), nn.Linear(4, 3), nn.BatchNorm1d(3)), []),
        (pooled(conv(1, 4), conv(4, 3)), []),  # a convolution without the name of a classifier
        (Calls(["body", "classifier"], body=conv(1, 4), classifier=pooled(conv(4, 3))), ["classifier.0"]),
        (Calls(["body", "classifier"], body=conv(1, 4), classifier=nn.Sequential(conv(4, 3))), []),  # it returns maps
        (nn.Linear(8, 3), []),  # nothing would be left
        (Calls(["a", "fc"], fc=nn.Linear(8, 3), a=nn.Linear(8, 8), idle=nn.Linear(8, 3)), ["fc"]),
    ],
)
def test_find_classifiers(model, expected):
    assert find_classifiers(model, X[:1]) == expected


class ResidualEnd(nn.Module):
    """A net without a classifier, whose last linear layer belongs to a residual block."""

    def __init__(self, width, n_outputs=None):
        super().__init__()
        self.body = pooled(conv(1, 6))
        self.fc1, self.fc2 = nn.Linear(6, width), nn.Linear(width, 6)
        self.classes = None if n_outputs is None else nn.Linear(6, n_outputs)

    def forward(self, x):
        x = self.body(x)
        x = x + self.fc2(self.fc1(x).relu())
        return x if self.classes is None else self.classes(x)


@pytest.mark.parametrize("width", [24, 6, 1])
def test_the_last_layer_of_a_residual_block_is_no_classifier(width):
    model = ResidualEnd(width).eval()
    backbone = load_backbone(model, image_shape=(8, 8, 1))
    with torch.no_grad():
        assert torch.equal(backbone.features(X), model(X)) and backbone.num_features == 6
    assert find_classifiers(ResidualEnd(width, 3), X[:1]) == ["classes"]


class OwnWeight(nn.Module):
    """Asks its last layer for the dtype of its weight."""

    def __init__(self):
        super().__init__()
        self.body, self.last = pooled(conv(1, 6)), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(self.body(x).to(self.last.weight.dtype))


def test_a_layer_that_the_net_cannot_do_without_stays():
    model = OwnWeight()
    assert find_classifiers(model, X[:1]) == [] and isinstance(model.last, nn.Linear)
    assert load_backbone(model, image_shape=(8, 8, 1)).num_features == 3


def test_finding_the_classifier_changes_nothing():
    model = nn.Sequential(pooled(conv(1, 4)), nn.Linear(4, 3)).train()
    last = model[1]
    assert find_classifiers(model, X[:1]) == ["1"]
    assert model[1] is last and all(part.training for part in model.modules())


class Packs(nn.Module):
    """Returns the tokens of all images as one row."""

    def __init__(self):
        super().__init__()
        self.body = conv(1, 4)

    def forward(self, x):
        return self.body(x).transpose(0, 1).flatten(1)[None]


def test_nets_that_pack_images_into_one_row():
    with pytest.raises(ValueError, match="backbone Packs .*it must return one row per image, got 1 rows for 2 images"):
        load_backbone(Packs, image_shape=(8, 8, 1))


# -- the size of images ------------------------------------------------------------------------------------------------


class Picky(nn.Module):
    """Accepts only images of some sizes, and remembers the first size."""

    def __init__(self, *sizes):
        super().__init__()
        self.sizes, self.first, self.body = sizes, None, conv(3, 4)

    def forward(self, x):
        self.first = self.first or x.shape[2]
        assert x.shape[2] in self.sizes and self.first in self.sizes
        return self.body(x)


@pytest.mark.parametrize(
    ("sizes", "resize", "expected"),
    [
        ((8, 16, 64), False, None),  # as they are
        ((16, 64), False, (16, 16)),
        ((32, 64), False, (32, 32)),
        ((50, 64), False, (64, 64)),  # not 50, which is no multiple of 8
        ((8, 64), True, (64, 64)),  # as the weights were trained
    ],
)
def test_images_are_made_as_large_as_they_must_be(sizes, resize, expected):
    net = Net(Picky(*sizes), Preprocess((64, 64), 3), "picky", resize=resize)
    backbone = assemble(net, (8, 8, 1))
    assert backbone.preprocess.size == expected and backbone.preprocess.channels == 3


def test_large_images_stay_large():
    net = Net(Picky(100, 64), Preprocess((64, 64), 3), "picky", resize=False)
    assert fit_images(net, (100, 100, 3)).preprocess.size is None


def test_images_that_no_size_helps():
    net = Net(Picky(7), Preprocess((64, 64), 3), "picky", resize=False)
    with pytest.raises(ValueError, match=r"backbone picky cannot take images of image_shape=\(8, 8, 1\): "):
        assemble(net, (8, 8, 1))
    with pytest.raises(
        ValueError, match=r"backbone Linear cannot take images of image_shape=\(8, 8, 1\): mat1 and mat2"
    ):
        load_backbone(nn.Linear(5, 5), image_shape=(8, 8, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_of_half_precision(dtype):
    module = nn.Conv2d(1, 2, 3).to(dtype)
    with pytest.raises(ValueError, match=f"Its parameters are {dtype}, but images are float32: call module.float"):
        load_backbone(module, image_shape=(8, 8, 1))
    assert module.weight.dtype == dtype
    assert load_backbone(module.float(), image_shape=(8, 8, 1)).num_features == 2


@pytest.mark.parametrize("stages", [None, ["0"], ["0", "1"]])
def test_parameters_in_float64(stages):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3)).double()
    backbone = load_backbone(module, image_shape=(8, 8, 1))
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    features = backbone.features(images, stages)
    assert backbone.dtype == features.dtype == torch.float64
    assert torch.equal(features, backbone.features(images.double(), stages))


def test_an_image_shape_of_numpy():
    assert load_backbone("tiny32", image_shape=np.array([8, 8, 1])).num_features == 256


def test_images_of_other_channels():
    with pytest.raises(ValueError, match="must have images of 3 channels for this backbone, got 5"):
        load_backbone("tiny32", image_shape=(8, 8, 5))


def test_bicubic_stays_in_the_range():
    step = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1]).expand(1, 1, 8, 8)
    ready = Preprocess(size=(32, 32), interpolation="bicubic")(step)
    assert ready.min() == 0 and ready.max() == 1
    assert not torch.equal(ready, Preprocess(size=(32, 32))(step))
