import pytest

from sktricks._fit_text import shorten, text_width, wrap

pytest.importorskip("matplotlib")


def test_text_is_shortened_in_the_middle_and_only_if_it_must_be():
    name = "a_rather_long_file_name_of_a_photo_17.jpeg"
    short = shorten(name, 100, "small")
    assert text_width(short, "small") <= 100 < text_width(short.replace("…", "…ii"), "small")
    first, last = short.split("…")
    assert name.startswith(first) and name.endswith(last) and 0 <= len(first) - len(last) <= 1
    assert shorten(name, 1000, "small") == name
    assert shorten("sea", 1, "small") == "s…a"  # something is always left


def test_bold_text_is_wider():
    assert text_width("forest", "small", "bold") > text_width("forest", "small") > text_width("fores", "small")


def test_words_stay_whole_where_lines_suffice():
    text = "predicted industrial or commercial unit (53%)"
    lines = wrap(text, 120, "small").split("\n")
    assert " ".join(lines) == text and len(lines) == 2
    assert all(text_width(line, "small") <= 120 for line in lines)


def test_the_last_line_is_shortened():
    lines = wrap("one two three four five six seven eight nine", 50, "small", n_lines=2).split("\n")
    assert len(lines) == 2 and "…" in lines[1] and lines[1].endswith("nine")
    assert all(text_width(line, "small") <= 50 for line in lines)
    assert wrap("", 50, "small") == ""
