"""Members of an in-context ensemble: one net that reads the same rows with columns and classes in another order."""

from __future__ import annotations

from typing import NamedTuple

import joblib
import numpy as np
import torch

from ._in_context_rows import ContextRows, learn_rows, place_columns

ROWS = 1024  # to predict at once, so that memory is bounded


class Member(NamedTuple):
    """The columns that a member reads, in order, and the code that it gives to each class."""

    columns: np.ndarray
    codes: np.ndarray


class ReadTable(NamedTuple):
    """Training rows: how columns are prepared, the members, and what each of them has read."""

    rows: ContextRows
    members: list[Member]
    memories: list


class Context:
    """A :class:`ReadTable` that is made at the first prediction, and again after a copy, a pickle or ``load``."""

    def __init__(self):
        self._found = None

    def get(self, device, read):
        """Return what ``read(device)`` returned when it was last called for this device; threads may call this too."""
        found = self._found
        if found is None or found[0] != device:
            found = self._found = device, read(device)
        return found[1]

    def __reduce__(self):
        return Context, ()


def draw_members(rng, n_members, n_columns, n_classes, most_columns):
    """Return members at random; each column is read by as many of them as any other, or by one more or less."""
    members, counts = [], np.zeros(n_columns, int)
    for _ in range(n_members):
        columns = np.lexsort((rng.random_sample(n_columns), counts))[:most_columns]
        counts[columns] += 1
        members.append(Member(rng.permutation(columns), rng.permutation(n_classes)))
    return members


@torch.no_grad()
def read_rows(net, member, values, y, device):
    """Return what a member reads of training rows: ``values`` of columns (n, columns, 2), and codes of classes."""
    x = place_columns(values, member.columns, net.n_columns)
    return net.read_context(x[None].to(device), torch.from_numpy(member.codes[y])[None].to(device))


@torch.no_grad()
def find_logits(net, member, values, memory, device):
    """Return the logits of the classes in their own order, (n, classes), for rows to predict."""
    x = place_columns(values, member.columns, net.n_columns)
    logits = [net.predict_rows(part[None].to(device), memory)[0] for part in x.split(ROWS)]
    return torch.cat(logits).cpu().double()[:, torch.from_numpy(member.codes)]


def read_table(net, X, y, is_categorical, n_members, seed, n_jobs, device):
    """Return the :class:`ReadTable` of training rows in canonical form, and the codes of their classes."""
    rows = learn_rows(X, is_categorical)
    rng = np.random.RandomState(seed)
    members = draw_members(rng, n_members, rows.n_columns, y.max() + 1, net.n_columns)
    values = rows.apply(X)
    return ReadTable(rows, members, run(read_rows, [(net, member, values, y, device) for member in members], n_jobs))


def predict_members(net, table, X, device, n_jobs):
    """Return the logits of each member, (members, n, classes), for rows in canonical form."""
    values = table.rows.apply(X)
    pairs = zip(table.members, table.memories, strict=True)
    return torch.stack(run(find_logits, [(net, member, values, memory, device) for member, memory in pairs], n_jobs))


def mean_of_members(logits, temperature):
    """Return the mean of the members' probabilities, (n, classes)."""
    return (logits / temperature).softmax(-1).mean(0)


def run(function, calls, n_jobs):
    """Return the results of a function for tuples of arguments, computed in threads."""
    return joblib.Parallel(n_jobs=n_jobs, require="sharedmem")(joblib.delayed(function)(*call) for call in calls)
