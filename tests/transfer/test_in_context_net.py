import pytest
import torch

from sktricks.transfer._in_context_net import InContextNet


def draw_net(seed=0, **sizes):
    """A small net, none of whose weights is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = InContextNet(**{"n_columns": 4, "n_classes": 3, "width": 8, "depth": 2, "heads": 2, **sizes})
        for weight in net.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    return net.double().eval()


def draw_rows(n_tables=2, n_train=9, n_new=5):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n_tables, n_train + n_new, 8, dtype=torch.float64, generator=rng)
    y = torch.randint(3, (n_tables, n_train), generator=rng)
    return x[:, :n_train], y, x[:, n_train:]


@pytest.fixture
def net():
    return draw_net()


def test_logits_of_each_row_and_class(net):
    assert net(*draw_rows()).shape == (2, 5, 3)


def test_a_prediction_does_not_depend_on_other_rows_to_predict(net):
    x, y, x_new = draw_rows()
    together = net(x, y, x_new)
    torch.testing.assert_close(net(x, y, x_new[:, 3:4]), together[:, 3:4])


def test_a_prediction_does_not_depend_on_other_tables(net):
    x, y, x_new = draw_rows()
    torch.testing.assert_close(net(x[1:], y[1:], x_new[1:]), net(x, y, x_new)[1:])


def test_the_order_of_training_rows_does_not_matter(net):
    x, y, x_new = draw_rows()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(x[:, order], y[:, order], x_new), net(x, y, x_new))


def test_labels_matter(net):
    x, y, x_new = draw_rows()
    assert (net(x, (y + 1) % 3, x_new) - net(x, y, x_new)).abs().min() > 1e-6


def test_a_context_is_read_once(net):
    x, y, x_new = draw_rows()
    memory = net.read_context(x, y)
    parts = torch.cat([net.predict_rows(part, memory) for part in x_new.split(2, dim=1)], dim=1)
    torch.testing.assert_close(parts, net(x, y, x_new))


def test_attention_becomes_sharper_with_more_rows():
    """A learned sharpness of 1 / log(2) doubles the queries among 200 rows, and changes nothing among 100."""
    net = draw_net(depth=1)
    attention = net.layers[0].attention
    rows = torch.randn(1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for n, factor in [(100, 1.0), (200, 2.0)]:
        memory = attention.read(torch.randn(1, n, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
        with torch.no_grad():
            attention.sharpness.fill_(1 / torch.log(torch.tensor(2.0, dtype=torch.float64)))
            sharp = attention(rows, memory)
            attention.sharpness.zero_()
            attention.query.weight.mul_(factor)
            torch.testing.assert_close(sharp, attention(rows, memory))
            attention.query.weight.div_(factor)


def test_gradients_reach_every_weight(net):
    x, y, x_new = draw_rows()
    net(x, y, x_new).square().sum().backward()
    # n_train is not 100, so sharpness has a gradient as well
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters() if weight.numel())


def test_a_new_net_knows_nothing():
    net = InContextNet(n_columns=4, n_classes=3, width=8, depth=2, heads=2)
    x, y, x_new = (part.float() if part.is_floating_point() else part for part in draw_rows())
    assert not net(x, y, x_new).any()


def test_the_weights_fit_into_four_megabytes():
    assert 2 * sum(weight.numel() for weight in InContextNet().parameters()) < 4_000_000
