"""The page of a run says what its files say, names what is missing, loads nothing, and can be read by all."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import soundfile

from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.desed_tsv import read_events, write_durations, write_events
from train.data.clips import load_clips, prepare_sets
from train.data.desed import DesedSet
from train.measuring.evaluate import psds
from train.measuring.measure import Truth, decode_parts, measure, tuned_parts
from train.measuring.score_store import write_scores
from train.measuring.tune import Grid
from train.report import report_rows, write_report
from train.report.clips import sound_uri
from train.report.curves import SCENARIOS, psd_roc
from train.report.evaluated import Evaluated, read_evaluated
from train.report.rows import row_of
from train.report.tables import gained

DEMO = Path(__file__).parents[2] / "edge_app" / "demo"
RENAMED = {"Dishes": 'Dishes & <b>cups</b> "$x$"'}
SECTIONS = [
    "table-1", "systems", "decoding", "ablation", "labels", "psd-roc",
    "training", "examples", "pseudo-labels", "settings", "provenance",
]  # fmt: skip
FEW = Grid(
    median_frames=(1, 7, 21),
    threshold_on=(0.3, 0.5, 0.7),
    off_below=(None,),
    min_off_s=(0.0, 0.2),
    min_on_s=(0.0,),
)
VOID = {"meta", "br", "img", "input", "link", "hr", "path", "use", "image", "rect"}


class Page(HTMLParser):
    """Tags, tables and attributes of a page; notes what is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._cell: list[str] | None = None
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th", "caption"):
            self._cell = []

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.faults.append(f"</{tag}> at {self.getpos()}")
        text = "".join(self._cell or [])
        if tag in ("td", "th"):
            self._rows[-1].append(text)
        elif tag == "caption":
            self._caption = text
        elif tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)

    def table(self, caption: str) -> dict[str, list[str]]:
        """Cells of the table whose caption begins so, by the first cell of their row."""
        rows = next(rows for name, rows in self.tables.items() if name.startswith(caption))
        return {row[0].split(" ± ")[0]: row[1:] for row in rows}


def renamed(by_file):
    return {
        name: [Event(e.onset, e.offset, RENAMED.get(e.event_label, e.event_label), e.score) for e in events]
        for name, events in by_file.items()
    }


def cut_demo(folder: Path) -> DesedSet:
    """The demo recording in 5 s clips of two halves, with its events."""
    waveform, rate = soundfile.read(DEMO / "soundscape.flac", dtype="int16")
    (events,) = renamed(read_events(DEMO / "soundscape.tsv")).values()
    (folder / "audio").mkdir(parents=True)
    by_file, length_s = {}, 5.0
    for number in range(6):
        name, start = f"{'ab'[number % 2]}_{number}<i>.flac", number * length_s
        soundfile.write(
            folder / "audio" / name, waveform[int(start * rate) : int((start + length_s) * rate)], rate
        )
        inside = [(max(e.onset - start, 0.0), min(e.offset - start, length_s), e.event_label) for e in events]
        by_file[name] = [Event(*event) for event in inside if event[1] - event[0] > 0.05]
    write_events(folder / "ground_truth.tsv", by_file)
    write_durations(folder / "durations.tsv", dict.fromkeys(by_file, length_s))
    return DesedSet.flat(folder)


def put(path: Path, figures: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(figures if isinstance(figures, str) else json.dumps(figures), encoding="utf-8")


def log_lines(seed: int) -> str:
    lines = [
        {"step": step, "clip": 2 / step + seed * 0.01, "focal": 50 / step, "clips_per_s": 10.0 + seed}
        | ({"quality": {"event_f1": step / 1000}} if step % 100 == 0 else {})
        for step in range(50, 501, 50)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: the built-in model's scores of real clips, weakened by degrees to make several systems."""
    folder = tmp_path_factory.mktemp("runs") / "demo <&> run"
    clips = prepare_sets({"validation": cut_demo(tmp_path_factory.mktemp("set"))}, folder / "data")
    bundle = load_bundle()
    detector = Detector(bundle, OnnxRuntime(bundle))
    labels = tuple(RENAMED.get(label, label) for label in detector.event_labels)
    waveforms = dict(zip(clips.filenames, clips.waveforms.astype(np.float32) / 32768, strict=True))
    scores = {
        name: np.concatenate(list(detector.scores([wave[: 5 * 16000]]))) for name, wave in waveforms.items()
    }
    truth = Truth(clips.reference("validation"), clips.durations("validation"))
    systems = {f"ensemble/result{number}": 1 - 0.05 * number for number in (1, 2)}
    systems |= {f"{name}/{seed}": 0.7 - 0.1 * seed % 0.3 for name in ("baseline", "mlfl") for seed in (2, 10)}
    systems |= {"tag_cnn/2": 0.8, "ablation/without_focal/2": 0.9, "ablation/without_ifdc/2": 0.1}
    rng = np.random.default_rng(0)
    for name, share in systems.items():
        weak = {
            f: (share * s + (1 - share) * rng.random(s.shape)).astype(np.float32) for f, s in scores.items()
        }
        parts = tuned_parts(weak, truth, labels, "halves", grid=FEW)
        told = (
            {"set": "validation", "systems": ["2", "10"], "weights": [0.6, 0.4]} if "result" in name else {}
        )
        put(folder / name / "metrics.json", told | measure(weak, truth, labels, parts, "halves", at_50=False))
        if name == "ensemble/result1":
            write_scores(folder / name / "scores.npz", weak, labels)
            write_events(folder / name / "events.tsv", decode_parts(weak, labels, parts))
    for name in ("mlfl/2", "mlfl/10", "tag_cnn/2"):
        put(folder / name / "log.jsonl", log_lines(int(name.split("/")[1])))
    choice = {"context_frames": 5, "filter_frames": 11, "threshold": 0.4567, "f1": None}
    put(folder / "pseudo" / "choice.json", {"metric": "frame", "labels": dict.fromkeys(labels, choice)})
    ranked = [{"system": seed, "figure": 0.4, "psds1": 0.4, "psds2": 0.4} for seed in ("2", "10")]
    put(folder / "ensemble" / "ranking.json", {"set": "development", "rank_by": "psds1", "systems": ranked})
    put(folder / "recipe.toml", 'name = "<demo> & run"\nseeds = [2, 10]\n')
    stage = {"inputs": {"setting mix": "{}"}, "outputs": {"data/clips.json": "ab" * 32}, "seconds": 3725.0}
    put(
        folder / "ledger.json",
        {"stages": {"data": stage | {"versions": {"torch": "2.11"}}, "mlfl/2": {"inputs": {}}}},
    )
    return folder


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def evaluated(run: Path) -> Evaluated:
    found = read_evaluated(run)
    assert isinstance(found, Evaluated)
    return found


def figures(run: Path, name: str) -> dict:
    return json.loads((run / name / "metrics.json").read_text())


def test_page_is_well_formed_and_its_links_lead_somewhere(page: Page) -> None:
    assert not page.faults
    assert not page.open
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [attributes.get("href") or "" for _, attributes in page.elements]
    inside += re.findall(
        r"url\((#[^)]+)\)", " ".join(str(value) for _, a in page.elements for value in a.values())
    )
    assert {link[1:] for link in inside if link.startswith("#")} <= set(ids)


def test_page_loads_nothing(text: str, page: Page, run: Path) -> None:
    addresses = [
        a[name] or ""
        for _, a in page.elements
        for name in ("src", "href", "srcset", "data", "action")
        if name in a
    ]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    assert not re.search(r"https?://|@import|javascript:", text)
    assert (run / "report.html").stat().st_size < 8e6


def test_page_has_every_section(page: Page) -> None:
    headed = [attributes["id"] for tag, attributes in page.elements if tag == "h2"]
    assert headed == SECTIONS
    linked = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert linked == [f"#{name}" for name in SECTIONS]


def test_published_table_equals_the_files(page: Page, run: Path) -> None:
    table = page.table("Table 1")
    names = ("psds1", "psds2", "event_f1_macro")
    baseline = {name: fmean(figures(run, f"baseline/{seed}")[name] for seed in (2, 10)) for name in names}
    assert [cell.split()[0] for cell in table["Baseline mean of 2 seeds"]] == [
        *("0.342", "0.527", "0.401"),
        *(f"{baseline[name]:.3f}" for name in names),
    ]
    ours = figures(run, "ensemble/result2")
    assert table["Result 2"][:3] == ["0.396 +0.054", "0.587 +0.060", "0.547 +0.146"]
    assert table["Result 2"][3:] == [
        f"{ours[name]:.3f} {gained(ours[name] - baseline[name])}" for name in names
    ]
    assert table["Result 4"][3:] == ["not measured"] * 3


def test_single_systems_show_mean_and_spread_over_seeds(page: Page, run: Path) -> None:
    values = [figures(run, f"mlfl/{seed}")["psds2"] for seed in (2, 10)]
    row = page.table("Single systems")["MLFL"]
    assert row[0] == "2, 10"
    assert row[2] == f"{fmean(values):.3f} ± {stdev(values):.3f}"
    assert (
        page.table("Single systems")["Tag-conditioned CNN"][2] == f"{figures(run, 'tag_cnn/2')['psds2']:.3f}"
    )


def test_label_table_equals_the_files(page: Page, run: Path) -> None:
    per_label = figures(run, "ensemble/result1")["per_class"]
    table = page.table("Figures of each label")
    for label, of_label in per_label.items():
        shown = [of_label[name] for name in ("event_f1", "psds1", "psds2")]
        assert table[label][3::4] == ["–" if value is None else f"{value:.3f}" for value in shown]


def test_ablation_says_which_ingredient_does_not_help(run: Path, page: Page, text: str) -> None:
    change = figures(run, "ablation/without_focal/2")["psds1"] - figures(run, "mlfl/2")["psds1"]
    assert change > 0
    assert page.table("Variants of MLFL")["Without focal"][4] == gained(change)
    assert f"Leaving out “focal” does not lower PSDS 1 ({gained(change)})" in text
    assert "one seed, so chance may decide" in text


def test_names_are_escaped(text: str, page: Page) -> None:
    assert "<b>" not in text
    assert "<i>" not in text
    assert "Dishes &amp; &lt;b&gt;cups&lt;/b&gt;" in text
    assert RENAMED["Dishes"] in page.table("Figures of each label")
    assert "name = &#34;&lt;demo&gt; &amp; run&#34;" in text


def test_tables_and_drawings_are_described(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert tags.count("table") == tags.count("caption") == len(page.tables)
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    drawn = [attributes for _, attributes in page.elements if attributes.get("role") == "img"]
    assert len(drawn) == tags.count("figure") == tags.count("svg") == 9  # PSD-ROC, two models, six clips
    assert all(attributes.get("aria-label") for attributes in drawn)


def test_text_has_contrast_in_light_and_dark(text: str) -> None:
    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        channels = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    themes = re.findall(r":root \{([^}]*)\}", text)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w+)", theme))
        for front in ("ink", "soft", "link", "warn"):
            for back in ("paper", "tint"):
                dim, bright = sorted(luminance(colours[name]) for name in (front, back))
                assert (bright + 0.05) / (dim + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_same_run_gives_the_same_page(run: Path, text: str) -> None:
    again = write_report(run).read_text(encoding="utf-8")
    without_date = re.compile(r"Written at</th><td>[^<]*")
    assert without_date.sub("", again) == without_date.sub("", text)


def test_an_empty_run_names_everything_as_missing(tmp_path: Path) -> None:
    text = write_report(tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.faults
    assert text.count('class="missing"') == 16
    for row in list(page.table("Table 1").values())[2:]:
        assert row[3:] == ["not measured"] * 3
    assert "set not recorded" in text
    for name in ("scores.npz", "recipe.toml", "ledger.json", "pseudo/choice.json", "ablation/"):
        assert name in text


def test_a_missing_or_damaged_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match="absent: expected the folder of a run"):
        write_report(tmp_path / "absent")
    put(tmp_path / "mlfl" / "1" / "metrics.json", '{"psds1": 0.')
    with pytest.raises(SedgeError, match=r"mlfl/1/metrics\.json: expected JSON"):
        write_report(tmp_path)


def test_rows_are_in_order_and_keep_those_not_measured(run: Path) -> None:
    rows = report_rows(run)
    assert [row.name for row in rows[:7]] == [
        *("Baseline CRNN", "MLFL", "Tag-conditioned CNN"),
        *(f"Result {number}" for number in (1, 2, 3, 4)),
    ]
    assert row_of(rows, "mlfl").seeds == ("2", "10")
    assert row_of(rows, "ensemble/result4").spread("psds1") is None


@pytest.mark.parametrize("name", SCENARIOS)
def test_area_under_the_curve_is_the_psds(evaluated: Evaluated, name: str) -> None:
    scores = evaluated.smoothed
    assert scores is not None
    tables = evaluated.reference, evaluated.durations, evaluated.event_labels
    found, expected = psd_roc(scores, *tables, SCENARIOS[name]), psds(scores, *tables)
    assert found.effective.area == pytest.approx(getattr(expected, name), abs=1e-9)
    per_label = getattr(expected, f"{name}_per_label")
    assert {
        label: pytest.approx(value, abs=1e-9) for label, value in per_label.items() if value is not None
    } == {label: curve.area for label, curve in found.per_label.items()}


def test_measured_figures_are_of_the_scores_that_are_drawn(evaluated: Evaluated, run: Path) -> None:
    measured, areas, smoothed = figures(run, "ensemble/result1"), [], evaluated.smoothed
    assert smoothed is not None
    for half in ("a_", "b_"):
        scores = {name: clip for name, clip in smoothed.items() if name.startswith(half)}
        reference = {name: evaluated.reference[name] for name in scores}
        durations = {name: evaluated.durations[name] for name in scores}
        curves = psd_roc(scores, reference, durations, evaluated.event_labels, SCENARIOS["psds2"])
        areas.append(curves.effective.area)
    assert fmean(areas) == pytest.approx(measured["psds2"], abs=1e-9)


def test_detections_decoded_anew_are_those_written(evaluated: Evaluated, run: Path, tmp_path: Path) -> None:
    for name in ("data", "ensemble"):
        (tmp_path / name).symlink_to(run / name)
    (tmp_path / "ensemble").unlink()
    result = tmp_path / "ensemble" / "result1"
    for name in ("scores.npz", "metrics.json"):
        put(result / name, "")
        (result / name).write_bytes((run / "ensemble" / "result1" / name).read_bytes())
    anew = read_evaluated(tmp_path)
    assert isinstance(anew, Evaluated)
    assert anew.detections is not None
    assert evaluated.detections is not None
    for name, events in anew.detections.items():
        assert [(e.event_label, round(e.onset, 3)) for e in events] == [
            (e.event_label, e.onset) for e in evaluated.detections[name]
        ]


def test_the_sound_of_a_clip_is_the_clip(run: Path) -> None:
    waveform = load_clips(run / "data").waveforms[0, : 5 * 16000]
    encoded = sound_uri(waveform).removeprefix("data:audio/flac;base64,")
    decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)), dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(decoded, waveform)
