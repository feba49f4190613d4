"""The count of what may take long: bars by a thread, lines in the log, and nothing elsewhere."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sktricks._progress import SCREEN, SILENT, Bar, Lines, progress


@pytest.fixture
def at_once(monkeypatch):
    """Bars without delay."""
    monkeypatch.setattr("sktricks._progress.DELAY", 0)


def draw(bar):
    """Draw a bar as the thread does, whenever it comes to it."""
    with SCREEN.lock:
        bar.draw()


def drawn(text):
    """Return the lines that appear on the screen, before they are overwritten."""
    return text.replace("\r", "\n").splitlines()


def test_silent_at_0(capfd, caplog, at_once):
    with progress(3, "fit", "epoch", 0) as done:
        done.step()
        done.skip(1)
        done.move(3)
    assert done is SILENT and capfd.readouterr() == ("", "") and caplog.text == ""
    assert progress(0, "fit", "epoch", 1) is SILENT


def test_a_bar_goes_to_stderr_and_stays(capfd, at_once):
    with progress(3, "fit", "epoch", True) as done:
        for loss in (3, 2, 1):
            done.step(1, f"loss={loss}")
    out, err = capfd.readouterr()
    assert out == "" and not SCREEN.bars
    last = drawn(err)[-1]
    assert "fit: 100%" in last and "3/3" in last and "epoch/s" in last and last.rstrip().endswith("loss=1]")


def test_what_takes_an_instant_has_no_bar(capfd):
    with progress(3, "fit", "epoch", 1) as done:
        done.step(3)
    assert capfd.readouterr().err == ""


def test_a_thread_draws_the_bar_while_nothing_is_done(capfd, at_once, monkeypatch):
    drawn_once, original = threading.Event(), Bar.draw

    def note(bar):
        original(bar)
        drawn_once.set()

    monkeypatch.setattr(Bar, "draw", note)
    with progress(3, "fit", "epoch", 1):
        assert drawn_once.wait(30)
        assert "0/3" in capfd.readouterr().err
    assert not SCREEN.bars and SCREEN.ended.is_set()


def test_inner_bars_leave_the_screen_clean(capfd, at_once):
    with progress(2, "outer", "fit", 1) as outer:
        for _ in range(2):
            with progress(5, "inner", "epoch", 1) as inner:
                draw(inner)
                inner.step(5)
            outer.step()
    lines = drawn(capfd.readouterr().err.replace("\x1b[A", ""))
    assert any("inner" in line for line in lines)
    assert lines[-1].startswith("outer: 100%") and "2/2" in lines[-1]


def test_rows_that_were_done_before_count_and_say_nothing_of_the_speed(at_once):
    with progress(100, "encoding", "image", 1) as done:
        done.skip(40)
        draw(done)
        done.step(10)
        done.skip(20)
        draw(done)
        bar = done.bar
        assert (bar.n, bar.initial, done.n) == (70, 60, 70)


def test_parts_of_an_epoch(capfd, at_once):
    with progress(4, "fit", "epoch", 1) as done:
        draw(done)
        done.move(1 / 3)
        draw(done)
        done.move(2.96)
    text = capfd.readouterr().err
    assert "| 0/4 [" in text and "| 0.3/4 [" in text and "| 3/4 [" in text


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_closes_all_bars(capfd, at_once, error):
    with pytest.raises(error), progress(2, "outer", "fit", 1) as outer, progress(5, "inner", "epoch", 1):
        outer.step()
        raise error
    assert not SCREEN.bars and SCREEN.ended.is_set()
    assert "1/2" in drawn(capfd.readouterr().err)[-1]


def test_lines(caplog):
    with progress(2, "fit", "epoch", 2) as done:
        done.move(0.5)
        done.step(0.5, "loss=1")
        done.step()
    assert [line.split(",")[0] for line in caplog.messages] == ["fit: 1 of 2 epochs", "fit: 2 of 2 epochs"]
    assert caplog.messages[0].endswith("s, loss=1")
    assert {record.name for record in caplog.records} == {"sktricks"}


def test_a_line_for_each_tenth_of_the_rows(caplog):
    with progress(1234, "encoding", "image", 2) as done:
        done.skip(200)
        for _ in range(1034):
            done.step()
    assert len(caplog.messages) <= 11 and caplog.messages[-1].startswith("encoding: 1,234 of 1,234 images, ")


def test_no_bar_outside_the_main_thread(monkeypatch):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(progress, 3, "fit", "epoch", 1).result() is SILENT
        assert isinstance(pool.submit(progress, 3, "fit", "epoch", 2).result(), Lines)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: "another")
    assert progress(3, "fit", "epoch", 1) is SILENT


def test_no_bar_without_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert progress(3, "fit", "epoch", 1) is SILENT
