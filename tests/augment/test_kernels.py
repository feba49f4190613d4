"""Compare the compiled kernels with those in numpy; check which of them are in use."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sktricks
from sktricks import show_versions
from sktricks.augment import ColorJitter, RandomCrop, RandomFlip, RandomRotation, make_augmentation_pipeline
from sktricks.augment.kernels import _kernels as kernels
from sktricks.augment.kernels._counter import draw_keys
from sktricks.augment.kernels._gaussian import gaussian_weights
from sktricks.augment.kernels._warp import BORDERS, flip_maps, linear_maps, pad, rotations, shift_maps

compiled = pytest.mark.skipif(kernels.compiled is None, reason=f"the kernel in use is {kernels.describe()}")
rng = np.random.default_rng(0)
n = 9


def draw_images(dtype, channels, shape=(14, 11)):
    images = rng.random((n, *shape, channels)) * 255
    return images.round().astype(np.uint8) if dtype == np.uint8 else images.astype(dtype)


def affine_maps(shape, angle=180):
    linear = rotations(rng.uniform(-angle, angle, n)) * rng.uniform(0.3, 3, (n, 1, 1))
    return linear_maps(linear, shape, rng.uniform(-8, 8, (2, n)))


def upright_maps():
    maps = shift_maps(*rng.uniform(-8, 8, (2, n)))
    maps[:, [0, 1], [0, 1]] = rng.uniform(0.3, 3, (n, 2)) * rng.choice([-1, 1], (n, 2))
    return maps


def one_map(row, column):
    """Return a map, given the slopes and offset of each input coordinate."""
    return np.array([[row, column]], dtype=float)


def whole_maps(shape):
    maps = flip_maps(rng.random(n) < 0.5, 1, shape)
    return maps + np.pad(rng.integers(-30, 30, (n, 2, 1)), ((0, 0), (0, 0), (2, 0)))


def draw_factors(channels, stages):
    factors = np.stack([*rng.uniform(0, 2, (3, n, stages)), rng.uniform(-0.5, 0.5, (n, stages))], axis=-1)
    factors[::4] = [1, 1, 1, 0]
    factors[1::4, :, 2:] = [1, 0]
    if channels != 3:
        factors[:, :, 2:] = [1, 0]
    return factors


def both(images, maps, factors, size, border, exact, value_range, out=None):
    fast = kernels.transform(images, maps, factors, size, border, 7.0, exact, value_range, out)
    return fast, kernels.transform_with_numpy(images, maps, factors, size, border, 7.0, value_range)


@compiled
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("side", [2, 3, 5])
def test_positions_exactly_on_the_border(side, border):
    images = np.arange(side * side, dtype=np.float32).reshape(1, side, side, 1)
    for start in (-1, -1 + 1e-7, -1e-7, 0, 1e-7, side - 1 - 1e-7, side - 1, side - 1 + 1e-7, side):
        for step in (-2, -1, 1e-9, 1, 2):
            maps = one_map([1, 0, 0], [1e-9, step, start])
            fast, slow = both(images, maps, None, (2, 7), border, False, None)
            assert_allclose(fast, slow, atol=1e-4, err_msg=f"start {start}, step {step}")


@compiled
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_compiled_equals_numpy(dtype, channels, border):
    images = draw_images(dtype, channels)
    for maps, size, exact in (
        (affine_maps((14, 11)), (14, 11), False),
        (affine_maps((9, 200), 10), (9, 200), False),
        (upright_maps(), (9, 13), False),
        (whole_maps((14, 11)), (6, 17), True),
        (None, (14, 11), True),
    ):
        for stages, value_range in ((0, None), (1, (0.0, 255.0)), (2, (0.0, 255.0)), (2, None), (1, (-20.0, 200.0))):
            factors = draw_factors(channels, stages) if stages else None
            fast, slow = both(images, maps, factors, size, border, exact, value_range)
            assert fast.dtype == np.float32 and fast.shape == (n, *size, channels)
            turned = factors is not None and (factors[..., 3] != 0).any()
            error = 0.05 if turned else 0.015  # the gain is up to 4, and the hue is ill-conditioned near gray
            if factors is None and dtype == np.float32:
                error = 1e-4
            assert_allclose(fast, slow, rtol=0, atol=error)
            out = np.empty(fast.shape, np.uint8)
            assert kernels.transform(images, maps, factors, size, border, 7.0, exact, value_range, out) is out
            assert_allclose(out, np.clip(slow, 0, 255), rtol=0, atol=0.5 + error)


@compiled
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("step", [0.4, 1, 2.9, 3.1, 9])
@pytest.mark.parametrize("wide", [True, False])
def test_rows_of_any_length_partly_outside_the_image(wide, step, border):
    kernels.compiled.choose_loops(wide)
    for width in (1, 7, 8, 31, 32, 33, 70):  # pixels are processed in blocks of 8 and of 32
        for channels in (1, 3):
            images = draw_images(np.float32, channels, (40, 50)) / 255
            linear = rotations(rng.uniform(-180, 180, n)) * step
            maps = linear_maps(linear, (5, width)) + [[0, 0, 17], [0, 0, 25 - width / 2]]
            call = images, maps, None, (5, width), border, 0.5
            fast, slow = kernels.transform(*call, False, None), kernels.transform_with_numpy(*call, None)
            assert_allclose(fast, slow, atol=2e-6)
    kernels.compiled.choose_loops(True)


@compiled
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_moved_pixels_are_the_same_bits(dtype, channels, border):
    images = (rng.random((n, 5, 7, channels)) * 300).astype(dtype)
    for maps in (whole_maps((5, 7)), shift_maps(rng.integers(-40, 40, n), rng.integers(-40, 40, n))):
        for size in ((5, 7), (3, 20)):
            fast = kernels.move(images, maps, size, border, 3)
            assert_array_equal(fast, kernels.move_with_numpy(images, maps, size, border, 3))
            assert fast.dtype == images.dtype


@compiled
@pytest.mark.parametrize("value_range", [None, (0.0, 255.0), (20.0, 200.0)])
def test_bytes_converted_to_gray_and_unchanged_bytes(value_range):
    images, factors = draw_images(np.uint8, 3), np.tile([1.0, 1.0, 1.0, 0.0], (n, 1, 1))
    factors[::2, :, 2] = 0
    out = np.empty(images.shape, np.uint8)
    fast, slow = both(images, None, factors, (14, 11), "edge", True, value_range, out)
    assert_allclose(fast[::2], slow[::2], atol=0.51)
    assert_array_equal(fast[1::2], images[1::2])
    white = np.full_like(images, 255)
    assert_array_equal(both(white, None, factors, (14, 11), "edge", True, None, out)[0], white)


@compiled
@pytest.mark.parametrize("shape", [(14, 11, 3), (5, 3, 5), (1, 300, 1), (40, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_blurred_and_noisy_images_equal_those_of_numpy(monkeypatch, dtype, shape):
    images = draw_images(dtype, shape[2], shape[:2])
    weights, keys = gaussian_weights(rng.uniform(0.05, 3, n), 9), draw_keys(rng, n)
    calls = [
        lambda out=None: kernels.blur(images, weights, out),
        lambda out=None: kernels.add_noise(images, keys, 30.0, (0.0, 255.0), out),
        lambda out=None: kernels.add_noise(images, keys, 30.0, None, out),
    ]
    before, fast = images.copy(), [call() for call in calls]
    whole = [call(np.empty(images.shape, np.uint8)) for call in calls]
    assert_array_equal(images, before)
    monkeypatch.setattr(kernels, "compiled", None)
    for call, floats, integers in zip(calls, fast, whole, strict=True):
        slow = call()
        assert floats.dtype == slow.dtype == np.float32
        assert_allclose(floats, slow, rtol=0, atol=1e-3)
        assert integers.dtype == np.uint8
        assert_allclose(integers, np.clip(slow, 0, 255), rtol=0, atol=0.501)
    assert_array_equal(images, before)


@compiled
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_wide_and_plain_loops_give_the_same_bits(dtype, channels):
    images, maps, exact_maps = draw_images(dtype, channels), affine_maps((14, 11)), whole_maps((14, 11))
    factors, weights, keys = draw_factors(channels, 2), gaussian_weights(rng.uniform(0.05, 3, n), 9), draw_keys(rng, n)

    def results(wide):
        kernels.compiled.choose_loops(wide)
        return [
            kernels.transform(images, maps, factors, (14, 11), "reflect", 0.0, False, (0.0, 255.0)),
            kernels.move(images, exact_maps, (14, 11), "edge", 0.0),
            kernels.blur(images, weights),
            kernels.add_noise(images, keys, 30.0, None),
        ]

    for plain, wide in zip(results(False), results(True), strict=True):  # restore the wide loops
        assert_array_equal(plain, wide)


@compiled
def test_positions_far_outside_are_border():
    images = draw_images(np.float32, 3)
    maps = affine_maps((14, 11))
    maps[:, :, 2] += 1e12
    for border in ("constant", "edge"):
        fast, slow = both(images, maps, None, (5, 5), border, False, None)
        assert_allclose(fast, slow, atol=1e-3)


@compiled
def test_read_only_and_strided_images():
    images = draw_images(np.uint8, 3)
    maps = affine_maps((14, 11))
    expected = kernels.transform(images, maps, None, (14, 11), "edge", 0.0, False, None)
    images.setflags(write=False)
    assert_array_equal(kernels.transform(images, maps, None, (14, 11), "edge", 0.0, False, None), expected)
    assert_array_equal(
        kernels.transform(np.asfortranarray(images), maps, None, (14, 11), "edge", 0.0, False, None), expected
    )


@compiled
def test_wrong_sizes_raise_errors():
    images, maps = draw_images(np.uint8, 3), affine_maps((14, 11))
    out = np.empty((n, 3, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="target must have 4158 bytes, got 243"):
        kernels.transform(images, maps, None, (14, 11), "edge", 0.0, False, None, out)
    with pytest.raises(ValueError, match="maps must have"):
        kernels.transform(images, maps[:2], None, (14, 11), "edge", 0.0, False, None)
    with pytest.raises(ValueError, match="maps must have"):
        kernels.move(images, maps[:2], (14, 11), "edge", 0.0)
    with pytest.raises(ValueError, match="weights must have 180 bytes, got 40"):
        kernels.blur(images, gaussian_weights(np.ones(2), 4))
    with pytest.raises(ValueError, match="keys must have 72 bytes, got 16"):
        kernels.add_noise(images, draw_keys(rng, 2), 1.0, None)
    with pytest.raises(ValueError, match="target must have 4158 bytes, got 243"):
        kernels.add_noise(images, draw_keys(rng, n), 1.0, None, out)


@compiled
def test_the_kernels_release_the_gil():
    images = np.zeros((60, 256, 256, 3), np.uint8)
    maps = shift_maps(np.full(60, 0.5), np.full(60, 0.5))
    span, ticks = [], []

    def work():
        span.append(time.perf_counter())
        kernels.transform(images, maps, None, (256, 256), "edge", 0.0, False, None)
        span.append(time.perf_counter())

    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(60)  # no thread switches otherwise, so the kernel must release the GIL
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0)
    finally:
        sys.setswitchinterval(interval)
    assert any(span[0] < tick < span[1] for tick in ticks)


@compiled
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_pipelines_give_the_same_with_both_kernels(monkeypatch, dtype):
    images = draw_images(dtype, 3, (32, 40))
    steps = [RandomFlip(), RandomCrop(28), RandomRotation(15), ColorJitter(0.3, 0.3, 0.3, 0.1)]
    pipeline = make_augmentation_pipeline(*steps, random_state=0)
    fast = pipeline.fit_transform(images)
    monkeypatch.setattr(kernels, "compiled", None)
    slow = pipeline.fit_transform(images)
    assert fast.dtype == slow.dtype == dtype
    difference = np.abs(fast.astype(float) - slow)
    assert difference.max() <= (1 if dtype == np.uint8 else 0.01)
    assert (difference > 0.01).mean() < 0.001


@pytest.mark.parametrize("side", [1, 2, 5])
def test_positions_far_outside_are_mirrored_repeatedly(side):
    row = np.arange(side)
    there_and_back = [*row, *row[-2:0:-1]]
    padded = pad(row.reshape(1, 1, side, 1), (0, 23), (0, 17), "reflect").ravel()
    assert_array_equal(padded, [there_and_back[place % len(there_and_back)] for place in range(-23, side + 17)])


# which kernel is in use


def described(**environment):
    code = "from sktricks.augment.kernels import _kernels; print(_kernels.describe())"
    environment = {**{k: v for k, v in os.environ.items() if k != "SKTRICKS_KERNEL"}, **environment}
    home = Path(sktricks.__file__).parents[1]  # pytest may run in the checkout, which need not be the tested package
    return subprocess.run([sys.executable, "-c", code], cwd=home, env=environment, capture_output=True, text=True)


def test_the_environment_forces_numpy():
    assert described(SKTRICKS_KERNEL="numpy").stdout == "numpy (by SKTRICKS_KERNEL)\n"
    wrong = described(SKTRICKS_KERNEL="fast")
    assert "SKTRICKS_KERNEL must be numpy or compiled, got 'fast'" in wrong.stderr


@compiled
def test_the_environment_forces_the_compiled_kernel():
    assert described(SKTRICKS_KERNEL="compiled").stdout == "compiled\n"


def test_numpy_is_used_without_the_extension(monkeypatch):
    monkeypatch.delenv("SKTRICKS_KERNEL", raising=False)
    monkeypatch.setitem(sys.modules, "sktricks.augment.kernels._compiled", None)
    monkeypatch.delattr("sktricks.augment.kernels._compiled", raising=False)
    found, reason = kernels.load_compiled()
    assert found is None and reason.startswith("not compiled: ")
    monkeypatch.setenv("SKTRICKS_KERNEL", "compiled")
    with pytest.raises(ImportError):
        kernels.load_compiled()


def test_show_versions_prints_the_kernel(capsys, monkeypatch):
    show_versions()
    assert f"kernel: {kernels.describe()}" in capsys.readouterr().out
    monkeypatch.setattr(kernels, "compiled", None)
    monkeypatch.setattr(kernels, "reason", "none here")
    show_versions()
    assert "kernel: numpy (none here)" in capsys.readouterr().out
