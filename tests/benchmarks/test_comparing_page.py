"""`sedge bench-report`: the page holds everything and loads nothing, and the README's table is the results'."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing.drawings import MOST_ROWS
from benchmarks.comparing.headlines import HEADLINES, Headline
from benchmarks.comparing.histograms import histogram_pictures
from benchmarks.comparing.page import write_page
from benchmarks.comparing.readme import BEGIN, END, readme_table, rewrite_readme
from benchmarks.comparing.report_command import main
from benchmarks.comparing.sections import packed
from benchmarks.comparing.sources import read_sources
from benchmarks.figures import Figure, write_results
from edge_app.core.errors import SedgeError
from tests.benchmarks.test_comparing import figure, result

ODD = 'step <b> & "$x$" [a|b]'


@pytest.fixture
def paths(tmp_path):
    """Two files of results: three benchmarks, one of them in both."""
    many = [figure(1.0 + number, name=f"stage {number}") for number in range(MOST_ROWS + 1)]
    latency = [*many, figure(2.0, 1.5, 2.5, name=ODD), Figure("speed", "x real time", "higher", 140.0)]
    files = {
        "old": [result(*latency), result(figure(1.0), benchmark="live")],
        "new": [result(figure(1.8, 1.6, 2.0, name=ODD)), result(figure(5.0), benchmark="memory")],
    }
    for name, results in files.items():
        write_results(tmp_path / f"{name}.json", results)
    return [tmp_path / f"{name}.json" for name in files]


class Links(HTMLParser):
    """Everything that a page would load or go to, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_data(self, data):
        self.text += data


def test_page_holds_everything_and_loads_nothing(paths, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main([*map(str, paths), "--out", str(page)]) == 0
    links = Links()
    links.feed(page.read_text())
    assert all(link.startswith("#") for link in links.links)
    assert "script" not in links.tags
    assert "b" not in links.tags
    assert links.tags.count("section") == 4
    # milliseconds of latency in two pictures; what is alone in its unit has none
    assert links.tags.count("svg") == 2
    for text in (ODD, "2.00 (1.50 – 2.50)", "1.80 (1.60 – 2.00)", "A Processor", "stage 24", "x real time"):
        assert text in links.text
    assert capsys.readouterr().out == f"{page}: page written\n"


def test_latencies_of_onsets_are_drawn_as_bars(tmp_path):
    runs = [
        {
            "load": 2,
            "histogram_bin_s": 0.1,
            "histogram": {"provisional": {"0.3": 4, "0.4": 1}, "confirmed": {}},
        },
        {"load": 3, "histogram_bin_s": 0.1, "histogram": {}},
    ]
    live = result(figure(1.0), benchmark="live")
    (picture,) = histogram_pictures({"here": dataclasses.replace(live, details={"runs": runs})})
    assert picture.caption == "here: seconds from an onset to its news, busy processes beside: 2."
    assert "provisional 5 onsets" in picture.alternative
    assert "confirmed" not in picture.svg
    for details in (None, {"runs": [3]}, {"runs": [{"load": 1}]}):
        assert not list(histogram_pictures({"here": dataclasses.replace(live, details=details)}))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), unique=True))
def test_no_figure_is_lost_between_pictures(parts):
    names = [f"{group} / {number}" for group, number in parts]
    portions = list(packed(names))
    assert [name for portion in portions for name in portion] == names
    assert all(0 < len(portion) <= MOST_ROWS for portion in portions)


def test_figures_of_one_kind_stay_in_one_picture():
    names = [f"{kind} / {number}" for kind in ("hot", "paced") for number in range(MOST_ROWS - 1)]
    assert [len(portion) for portion in packed(names)] == [MOST_ROWS - 1] * 2


def test_page_is_the_same_for_the_same_results(paths, tmp_path):
    for name in ("one.html", "two.html"):
        write_page(tmp_path / name, read_sources(paths))
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_files_of_one_stem_are_told_apart(paths, tmp_path):
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "old.json"
    twin.write_bytes(paths[0].read_bytes())
    assert [source.name for source in read_sources([*paths, twin])] == [str(paths[0]), "new", str(twin)]


SHOWN = (
    Headline("latency", r"(step .*)", r"a \1"),
    Headline("memory", "step", "memory"),
)


def test_table_has_a_column_for_each_file(paths):
    table = readme_table(read_sources(paths), SHOWN)
    lines = table.splitlines()
    assert lines[0].startswith("old: A Processor, 2 cores, measured 2026-01-02 with sedge 0.1.0")
    assert lines[-4:] == [
        "|  | old | new | command |",
        "| --- | --- | --- | --- |",
        '| a step <b> & "$x$" [a\\|b] | 2.00 (1.50 – 2.50) ms | 1.80 (1.60 – 2.00) ms | `sedge bench-latency` |',
        "| memory | not measured | 5.00 ms | `sedge bench-memory` |",
    ]
    with pytest.raises(SedgeError, match="expected results with figures of the README's table, found none"):
        readme_table(read_sources(paths), ())


def test_only_what_is_between_the_marks_is_rewritten(paths, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_bytes(f"before\r\n{BEGIN}\nold table\n{END}\nafter\n".encode())
    rewrite_readme(readme, read_sources(paths), SHOWN)
    once = readme.read_bytes()
    assert once.startswith(b"before\r\n" + BEGIN.encode() + b"\nold: A Processor")
    assert once.endswith(END.encode() + b"\nafter\n")
    assert b"old table" not in once
    rewrite_readme(readme, read_sources(paths), SHOWN)
    assert readme.read_bytes() == once


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", None])
def test_readme_without_its_marks_is_left_alone(text, paths, tmp_path):
    readme = tmp_path / "README.md"
    if text is not None:
        readme.write_text(text)
    with pytest.raises(SedgeError, match=r"README\.md: (expected one line|cannot be read)"):
        rewrite_readme(readme, read_sources(paths), SHOWN)
    assert text is None or readme.read_text() == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "page.html"], "expected files of results, found none"),
        (["a.json"], "expected --out HTML or --readme FILE, found neither"),
        (["none.json", "--out", "page.html"], "none.json: cannot be read"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SedgeError, match=re.escape(message)):
        main(words)
    assert not list(tmp_path.iterdir())


def test_headlines_are_patterns_with_their_groups():
    for headline in HEADLINES:
        assert re.compile(headline.pattern).groups >= len(re.findall(r"\\\d", headline.title))
