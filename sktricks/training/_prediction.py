"""Predict with a fitted net: outputs for rows, read in blocks, and their mean over augmented views."""

from __future__ import annotations

from functools import partial

import torch
from sklearn.utils.validation import check_is_fitted

from .._progress import FEW, SILENT
from .._progress import progress as progress_of
from .._value_range import warn_of_other_scale
from ._batch_ladder import smallest_batch
from ._inputs import images_at_once, map_images, table_dtype
from ._magnitude import check_table

PREDICT_ROWS = 1024  # rows per block, to bound the memory; the net takes images in smaller batches


def mean_over_views(estimator, X, finish):
    """Return the mean over all views of a function of the module's outputs.

    Parameters
    ----------
    estimator : BaseNet
    X : array-like
    finish : callable
        Called with logits or values, a float tensor (n, outputs).

    Returns
    -------
    mean : ndarray of shape (n, outputs)
    """
    if not estimator.__sklearn_is_fitted__():
        check_is_fitted(estimator)  # raises an error; called only here, since it reads the estimator's tags
    X, _ = estimator._check_X(X, reset=False)
    check_table(estimator, X)
    warn_of_other_scale(estimator, X)
    exact = X.ndim == 2 and table_dtype(X.dtype, estimator._device) == torch.float64  # the precision of the table

    def finished(view, prepare, progress):
        read_inputs = partial(estimator._read_inputs, fit=False, view=view, progress=progress)
        outputs = predict_rows(estimator._net, X, read_inputs, prepare, progress)
        return finish(outputs.double() if exact else outputs)

    n_views = 1 + len(estimator._views)
    with progress_of(n_views * len(X), "predict", "row", estimator.verbose if len(X) > FEW else 0) as progress:
        total = finished(None, estimator._net.prepare_valid_, progress)
        for view in estimator._views:
            total = total + finished(view, estimator._preparation(), progress)
    return (total / n_views).numpy()


@torch.inference_mode()
def predict_rows(net, X, read_inputs, prepare, progress=SILENT):
    """Return the module's outputs for the rows of ``X``, read part by part, so that memory is bounded.

    ``prepare`` is what happens to a batch on its way to the module, or None. ``progress`` counts rows, but for images
    that become features, which are counted where they are encoded.
    """
    evaluate(net.module_)
    device = torch.device(net.device)

    def outputs(part):
        part = part if prepare is None else prepare(part)[0]
        return net.infer({"x": part.to(device)})

    def outputs_of(x):
        if x.ndim != 4:
            if X.ndim == 2:
                progress.step(len(x))
            pads = X.ndim == 4 and len(x) == 1  # pad the features of a single image, see SMALLEST in _batch_ladder
            return outputs(x.repeat(2, 1) if pads else x)[: len(x)].cpu()
        usual = images_at_once(net.module_, prepare, x, device)
        return map_images(outputs, x, smallest_batch(outputs, net.module_, x, usual, net.precision_), progress)

    if len(X) <= PREDICT_ROWS:
        return outputs_of(read_inputs(X))
    parts = (read_inputs(X[start : start + PREDICT_ROWS]) for start in range(0, len(X), PREDICT_ROWS))
    return torch.cat([outputs_of(x) for x in parts])


def evaluate(module):
    """Put a module in evaluation mode, but only if necessary, since visiting all submodules in each call is slow.

    The module itself is changed last: if another thread finds it in evaluation mode, so are all submodules.
    """
    if module.training:
        for child in module.children():
            child.eval()
        module.eval()
