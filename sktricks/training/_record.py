"""Write the history of a training whose engine does not use skorch's loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .run import TrainingRun


def record_steps(run: TrainingRun, losses: list[float]) -> None:
    """Write the history and the learning rates to a net, as skorch's loop would.

    Parameters
    ----------
    run : TrainingRun
    losses : list of float
        Loss of each step; those of an interrupted epoch are ignored.
    """
    net, epochs = run.net, make_epochs(run, losses)
    net.history.extend(epochs)
    dict(net.callbacks_)["train_loss"].best_score_ = min((epoch["train_loss"] for epoch in epochs), default=np.inf)
    for group in net.optimizer_.param_groups:
        group["lr"] = group["initial_lr"] * run.factors[len(losses)]


def make_epochs(run: TrainingRun, losses: list[float]) -> list[dict]:
    """Return the entries of skorch's history for the completed epochs of these losses."""
    epochs, best, n_batches = [], np.inf, len(run.loader)
    sizes = [stop - start for start, stop in run.loader.bounds]
    highest = run.net.optimizer_.param_groups[0]["initial_lr"]
    whole = np.array(losses[: len(losses) // n_batches * n_batches]).reshape(-1, n_batches)
    means = (whole * sizes).sum(axis=1) / np.sum(sizes)  # np.average per epoch is slow
    for number, (own, loss) in enumerate(zip(whole.tolist(), means, strict=True)):
        batches = [{"train_loss": one, "train_batch_size": size} for one, size in zip(own, sizes, strict=True)]
        rates = [highest * factor for factor in run.factors[number * n_batches :][:n_batches]]
        if run.schedule != "constant":
            for batch, rate in zip(batches, rates, strict=True):
                batch["event_lr"] = rate
        entry = {"epoch": number + 1, "lr": rates[0], "train_batch_count": n_batches}
        epochs.append({"batches": batches, **entry, "train_loss": loss, "train_loss_best": bool(loss < best)})
        best = min(best, loss)
    return epochs
