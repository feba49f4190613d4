"""Locks for code that is not thread-safe, and scikit-learn's input checks under such a lock.

``warnings.catch_warnings`` changes the warning filters of the whole process and restores the previous ones afterwards:
if two threads overlap in it, the wrong filters remain. scikit-learn's array checks use it.
"""

from __future__ import annotations

import os
import threading
from functools import partial, wraps

import joblib
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn import config_context, get_config, utils
from sklearn.utils import class_weight, multiclass, parallel


class ForkSafeLock:
    """A re-entrant lock, held by ``with lock():``.

    A forked process gets a new lock, because the thread that held the old one does not exist there to release it.
    """

    def __init__(self):
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self):
        self._lock = threading.RLock()

    def __call__(self):
        return self._lock


def run_parallel(function, calls, n_jobs, report=None):
    """Call a function with each tuple of arguments, by joblib in threads or processes, and return the results.

    scikit-learn's ``delayed`` also passes on the warning filters, which only other processes need.

    If ``report`` is given, it is called in this process whenever a call returns, with the number of completed calls.
    """
    if getattr(get_active_backend()[0], "uses_threads", False) or effective_n_jobs(n_jobs) == 1:
        run = partial(call_configured, function, get_config())
        return reporting(joblib.Parallel(n_jobs=n_jobs), report)(joblib.delayed(run)(*call) for call in calls)
    runner = reporting(parallel.Parallel(n_jobs=n_jobs), report)
    return runner(parallel.delayed(function)(*call) for call in calls)


def reporting(runner, report):
    """Make a :class:`joblib.Parallel` call ``report`` instead of printing its progress."""
    if report is not None:
        runner.print_progress = lambda: report(runner.n_completed_tasks)
    return runner


def call_configured(function, config, *args):
    """Call a function under the given scikit-learn configuration, which is local to each thread."""
    with config_context(**config):
        return function(*args)


WARNING_FILTERS = ForkSafeLock()


def in_one_thread(function):
    """Wrap a function with a lock that all such functions share: only one thread at a time runs any of them."""

    @wraps(function)
    def call(*args, **kwargs):
        with WARNING_FILTERS():
            return function(*args, **kwargs)

    return call


check_array = in_one_thread(utils.check_array)
check_classification_targets = in_one_thread(multiclass.check_classification_targets)
column_or_1d = in_one_thread(utils.column_or_1d)
compute_class_weight = in_one_thread(class_weight.compute_class_weight)
compute_sample_weight = in_one_thread(class_weight.compute_sample_weight)
type_of_target = in_one_thread(multiclass.type_of_target)
