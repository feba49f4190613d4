"""The logger, and its handler, which steps aside for handlers of the user's."""

import io
import logging
import sys
import threading

import joblib
import pytest

from sktricks._log import DefaultHandler, in_main_thread, is_configured, logger


@pytest.fixture
def unconfigured(monkeypatch):
    """Return a function after which logging is as in a script that has not configured it; pytest has, for each test."""
    return lambda: monkeypatch.setattr(logging.getLogger(), "handlers", [])


def test_messages_are_shown_by_default(unconfigured, capsys):
    unconfigured()
    logger.info("backbone %r", "tiny32")
    assert capsys.readouterr() == ("", "backbone 'tiny32'\n")


def test_the_users_handlers_get_the_messages_instead(unconfigured, capsys, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
    logger.info("one")
    unconfigured()
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, logging.StreamHandler(stream)])
    logger.info("two")
    assert stream.getvalue() == "one\ntwo\n" and capsys.readouterr() == ("", "")


def test_messages_are_captured(caplog):
    logger.info("one")
    assert caplog.record_tuples == [("sktricks", logging.INFO, "one")]


def test_a_level_silences_the_messages(unconfigured, capsys, monkeypatch):
    unconfigured()
    monkeypatch.setattr(logger, "level", logging.WARNING)
    logger._cache.clear()
    logger.info("one")
    monkeypatch.undo()
    logger._cache.clear()
    assert capsys.readouterr().err == "" and logger.level == logging.INFO


def test_there_is_one_handler():
    assert [type(handler) for handler in logger.handlers] == [DefaultHandler]
    assert is_configured()  # by pytest


def test_threads_write_nothing(unconfigured, capsys):
    unconfigured()
    thread = threading.Thread(target=logger.info, args=("one",))
    thread.start()
    thread.join()
    assert capsys.readouterr().err == ""


def test_a_stream_that_fails_ends_nothing(unconfigured, monkeypatch):
    unconfigured()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(sys, "stderr", None)
    logger.info("one")


def test_worker_processes_are_known():
    assert joblib.Parallel(2)([joblib.delayed(in_main_thread)()] * 2) == [False, False]
    assert in_main_thread()
