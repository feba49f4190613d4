"""skorch's loggers: their calls, and their open logs, which cannot be copied."""

import copy
import threading

import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Checkpoint, TensorBoard, WandbLogger

from sktricks import FineTuneClassifier, NetClassifier, NetRegressor, VotingClassifier, diagnose, find_lr

X, Y = load_iris(return_X_y=True)
EPOCHS = 4


class Writer:
    """A TensorBoard writer; like the real one, it contains a lock and cannot be copied."""

    def __init__(self):
        self.lock, self.scalars, self.closed = threading.Lock(), [], 0

    def add_scalar(self, tag, scalar_value, global_step):
        self.scalars.append((tag, scalar_value, global_step))

    def close(self):
        self.closed += 1

    def of(self, tag):
        return [value for name, value, _ in self.scalars if name == tag]


class Run:
    """A run of Weights & Biases, which itself forbids copies."""

    def __init__(self, folder):
        self.dir, self.logged, self.watched = folder, [], []

    def __deepcopy__(self, memo):
        return self

    def watch(self, module):
        self.watched.append(module)

    def log(self, values):
        self.logged.append(values)


class Holds(Callback):
    def __init__(self, lock=None, notes=None):
        self.lock, self.notes = lock, notes

    def on_epoch_end(self, net, **kwargs):
        self.notes.append(1)


def classifier(*callbacks, **params):
    return NetClassifier(**{"max_epochs": EPOCHS, "callbacks": list(callbacks), "random_state": 0, **params})


def test_the_fake_has_no_copy():
    with pytest.raises(TypeError, match="lock"):
        copy.deepcopy(Writer())


@pytest.mark.parametrize("net", [NetClassifier, NetRegressor])
def test_tensorboard_gets_every_epoch(net):
    writer = Writer()
    fitted = net(max_epochs=EPOCHS, callbacks=[TensorBoard(writer)], random_state=0).fit(X, Y, X_val=X, y_val=Y)
    assert writer.of("Loss/train_loss") == fitted.loss_curve_
    assert writer.of("Loss/valid_loss") == fitted.validation_loss_curve_
    assert writer.of("Loss/valid_score") == fitted.validation_scores_
    assert [step for tag, _, step in writer.scalars if tag == "Loss/train_loss"] == [1, 2, 3, 4]
    assert len(fitted.loss_curve_) == EPOCHS and writer.closed == 1


def test_tensorboard_gets_the_epochs_of_a_pretrained_net():
    writer, X_images = Writer(), X.repeat(16, axis=1)  # 8 x 8
    net = FineTuneClassifier(
        image_shape=(8, 8), max_epochs=EPOCHS, callbacks=[("board", TensorBoard(writer))], random_state=0
    )
    losses = clone(net).fit(X_images[::5], Y[::5]).loss_curve_
    assert len(losses) == EPOCHS and writer.of("Loss/train_loss") == losses


def test_a_wandb_run_gets_every_epoch_and_the_best_weights(tmp_path):
    run = Run(tmp_path)
    net = classifier(WandbLogger(run)).fit(X, Y, X_val=X, y_val=Y)
    assert [epoch["train_loss"] for epoch in run.logged] == net.loss_curve_ and len(run.logged) == EPOCHS
    assert [epoch["valid_score"] for epoch in run.logged] == net.validation_scores_
    assert run.watched == [net.net_.module_] and (tmp_path / "best_model.pth").exists()


def test_a_log_is_shared_and_all_else_is_copied():
    lock, notes, writer = threading.Lock(), [], Writer()
    mine = [Holds(lock, notes), ("board", TensorBoard(writer)), Holds(None, notes)]
    net = classifier(*mine)
    for own in (clone(net), net.fit(X, Y)):
        held = own.callbacks if own is not net else [dict(own.net_.callbacks_)[name] for name in ("Holds_1", "Holds_2")]
        assert held[0] is not mine[0] and held[0].lock is lock
        assert held[0].notes is held[-1].notes is not notes  # they shared it before
    assert clone(net).callbacks[1][1] is not mine[1][1] and clone(net).callbacks[1][1].writer is writer
    assert notes == [] and net.callbacks == mine


@pytest.mark.parametrize("callbacks", [None, [], (), [Holds], Holds()])
def test_clones_keep_the_kind_of_callbacks(callbacks):
    cloned = clone(NetClassifier(callbacks=callbacks)).callbacks
    assert type(cloned) is type(callbacks)
    assert callbacks is None or isinstance(callbacks, Callback) or list(cloned) == list(callbacks)


def test_a_log_goes_where_nets_are_cloned():
    writer = Writer()
    net = classifier(TensorBoard(writer))
    VotingClassifier([("a", net), ("b", make_pipeline(StandardScaler(), net))]).fit(X, Y)
    assert len(writer.of("Loss/train_loss")) == 2 * EPOCHS
    GridSearchCV(net, {"lr": [1e-3, 1e-2]}, cv=3, error_score="raise").fit(X, Y)
    assert len(writer.of("Loss/train_loss")) == (2 + 2 * 3 + 1) * EPOCHS


@pytest.mark.parametrize("examine", [find_lr, diagnose])
def test_nothing_is_written_of_copies_that_are_examined(examine, tmp_path):
    writer, run = Writer(), Run(tmp_path)
    examine(classifier(TensorBoard(writer), WandbLogger(run), Checkpoint(dirname=tmp_path / "checkpoints")), X, Y)
    assert writer.scalars == run.logged == run.watched == [] and not list(tmp_path.glob("**/*.pt"))


def test_nothing_is_written_of_the_range_test_in_fit():
    writer = Writer()
    net = classifier(TensorBoard(writer), lr="auto", batch_size=16).fit(X, Y)
    assert writer.of("Loss/train_loss") == net.loss_curve_ and writer.closed == 1


def test_what_a_real_writer_writes_can_be_read(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    net = clone(classifier(TensorBoard(SummaryWriter(tmp_path)))).fit(X, Y)
    written = EventAccumulator(str(tmp_path)).Reload().Scalars("Loss/train_loss")
    assert [point.value for point in written] == pytest.approx(net.loss_curve_)
    assert [point.step for point in written] == [1, 2, 3, 4]
