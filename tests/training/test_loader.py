import pytest
import torch

from sktricks.training._loader import ArrayDataset, BatchLoader, batch_bounds


def make_dataset(n, weight=False):
    x = torch.arange(n, dtype=torch.float32)
    return ArrayDataset(x[:, None], x * 10, x * 100 if weight else None)


def seen_rows(loader):
    return [inputs["x"][:, 0].tolist() for inputs, _ in loader]


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (11, 4, [4, 4, 3]),
        (9, 4, [4, 5]),  # BatchNorm cannot train on one row
        (3, 2, [3]),
        (1, 4, [1]),
        (3, 1, [1, 2]),
        (4, 100, [4]),
    ],
)
def test_bounds_cover_all_rows_without_a_last_batch_of_one(n_rows, batch_size, sizes):
    bounds = batch_bounds(n_rows, batch_size)
    assert [stop - start for start, stop in bounds] == sizes
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(n_rows))


def test_in_order_unless_shuffled():
    loader = BatchLoader(make_dataset(7), batch_size=3)
    assert len(loader) == 2  # the last row joins the second batch
    assert seen_rows(loader) == [[0, 1, 2], [3, 4, 5, 6]]
    assert seen_rows(loader) == seen_rows(loader)


def test_shuffled_is_a_permutation_new_at_each_pass():
    loader = BatchLoader(make_dataset(50), batch_size=8, shuffle=True, seed=1)
    first, second = (sum(seen_rows(loader), []) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != list(range(50))


def test_the_seed_is_the_order_and_the_global_generator_stays():
    before = torch.get_rng_state()
    orders = [seen_rows(BatchLoader(make_dataset(50), 8, shuffle=True, seed=seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_slices_of_the_drawn_order():
    loader = BatchLoader(make_dataset(50, weight=True), 8, shuffle=True, seed=1)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1)).float()
    assert seen_rows(loader) == [order[start:stop].tolist() for start, stop in batch_bounds(50, 8)]


def test_no_rows_are_no_batches():
    assert list(BatchLoader(make_dataset(0), 5, shuffle=True)) == []


def test_targets_and_weights_stay_with_their_rows():
    for inputs, y in BatchLoader(make_dataset(20, weight=True), 6, shuffle=True):
        torch.testing.assert_close(y, inputs["x"][:, 0] * 10)
        torch.testing.assert_close(inputs["weight"], inputs["x"][:, 0] * 100)


def test_rows_without_weight_carry_none():
    inputs, _ = make_dataset(3)[slice(0, 2)]
    assert set(inputs) == {"x"}


def test_one_row_as_a_plain_loader_asks_for_it():
    loader = torch.utils.data.DataLoader(make_dataset(6, weight=True), batch_size=4)
    sizes = [(len(inputs["x"]), len(inputs["weight"]), len(y)) for inputs, y in loader]
    assert sizes == [(4, 4, 4), (2, 2, 2)]
