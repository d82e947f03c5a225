"""Results 1 to 4: who is in them with which weight, who ranks first, and that a second run changes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event, rasterise
from edge_app.formats.desed_tsv import read_events
from train.measuring.ensemble import (
    RESULT_WEIGHTS,
    EnsembleSettings,
    Task,
    digest,
    fuse,
    make_results,
    mode_of,
    rank,
)
from train.measuring.evaluate import event_f1
from train.measuring.measure import Truth
from train.measuring.score_store import read_scores
from train.measuring.tune import Grid

LABELS = ["Cat", "Dog"]
N_FRAMES = 200
GRID = Grid((1, 9), (0.3, 0.5, 0.7), (None,), (0.0, 0.5), (0.0, 0.2))
QUICK = EnsembleSettings(at_50=False)
Sets = dict[str, dict[str, np.ndarray]]


def random_truth(seed: int, prefixes: str) -> Truth:
    generator = np.random.default_rng(seed)
    reference = {}
    for clip in range(8):
        onset = round(generator.uniform(0, 2), 2)
        events = [Event(onset, round(onset + generator.uniform(0.5, 1.5), 2), label) for label in LABELS]
        reference[f"{prefixes[clip % len(prefixes)]}_{clip}.wav"] = events[: 1 + clip // 2 % 2]
    return Truth(reference, dict.fromkeys(reference, N_FRAMES * 0.02))


TRUTHS = {
    "development": random_truth(1, "d"),
    "validation": random_truth(2, "ab"),
    "public": random_truth(3, "p"),
}


def system(noise: float, seed: int, truths: dict[str, Truth]) -> Sets:
    generator = np.random.default_rng(seed)
    sets: Sets = {}
    for name, truth in truths.items():
        sets[name] = {}
        for filename, events in truth.reference.items():
            slow = np.repeat(generator.normal(size=(20, 2)), N_FRAMES // 20, axis=0)
            logit = 4 * rasterise(events, LABELS, N_FRAMES) - 2 + noise * slow
            sets[name][filename] = (1 / (1 + np.exp(-logit))).astype(np.float32)
    return sets


@pytest.fixture(scope="module")
def systems() -> dict[str, Sets]:
    """Five systems, from the worst to the best."""
    noises = {"worst": 5.0, "fourth": 3.2, "third": 2.4, "second": 1.6, "best": 0.2}
    return {name: system(noise, seed, TRUTHS) for seed, (name, noise) in enumerate(noises.items())}


@pytest.fixture(scope="module")
def results(systems: dict[str, Sets], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("ensemble")
    make_results(systems, TRUTHS, LABELS, QUICK, folder, {"Cat": 9, "Dog": 9}, GRID)
    return folder


def metrics(folder: Path, number: int) -> dict:
    return json.loads((folder / f"result{number}" / "metrics.json").read_text())


def test_results_are_means_of_the_best(systems: dict[str, Sets], results: Path) -> None:
    order = ["best", "second", "third", "fourth"]
    weights = {1: (1 / 3, 1 / 3, 1 / 3), 2: (0.25,) * 4, 3: (0.5, 0.5), 4: (0.4, 0.2, 0.2, 0.2)}
    assert set(RESULT_WEIGHTS) == set(weights)
    for number, shares in weights.items():
        figures = metrics(results, number)
        assert figures["systems"] == order[: len(shares)]
        assert figures["weights"] == pytest.approx(list(shares))
        for name, file in (("validation", "scores.npz"), ("public", "scores-public.npz")):
            labels, scores = read_scores(results / f"result{number}" / file)
            assert list(labels) == LABELS
            assert list(scores) == list(TRUTHS[name].reference)
            for filename, clip in scores.items():
                members = [systems[member][name][filename].astype(float) for member in figures["systems"]]
                expected = sum(share * member for share, member in zip(shares, members, strict=True))
                np.testing.assert_allclose(clip, expected, atol=1e-7)


def test_every_result_has_its_events_and_figures(results: Path) -> None:
    for number in RESULT_WEIGHTS:
        figures = metrics(results, number)
        assert figures["set"] == "validation"
        assert figures["mode"] == "halves"  # its files come in them
        assert figures["also"]["public"]["mode"] == "development"
        assert "tuned on the development" in figures["also"]["public"]["tuned_on"]
        assert figures["fixed_rule"]["windows"] == {"Cat": 9, "Dog": 9}
        assert 0.3 < figures["psds1"] <= figures["psds2"] <= 1
        assert figures["psds2_50"] is None
        events = read_events(results / f"result{number}" / "events-public.tsv")
        found = event_f1(TRUTHS["public"].reference, events, LABELS)
        assert found.macro == pytest.approx(figures["also"]["public"]["event_f1_macro"])
        assert set(read_events(results / f"result{number}" / "events.tsv")) == set(
            TRUTHS["validation"].reference
        )


def test_systems_are_ranked_on_the_development_set(results: Path) -> None:
    ranking = json.loads((results / "ranking.json").read_text())
    assert ranking["set"] == "development"
    assert [row["system"] for row in ranking["systems"]] == ["best", "second", "third", "fourth", "worst"]
    for row in ranking["systems"]:
        assert row["figure"] == pytest.approx((row["psds1"] + row["psds2"] + row["event_f1_macro"]) / 3)


def test_the_reported_set_ranks_only_where_that_is_asked_for_and_said(
    systems: dict[str, Sets], tmp_path: Path
) -> None:
    truths = {name: TRUTHS[name] for name in ("development", "validation")}
    swapped = {name: dict(of) for name, of in systems.items()}
    swapped["best"]["validation"] = systems["worst"]["validation"]
    swapped["worst"]["validation"] = systems["best"]["validation"]
    honest = rank(swapped, Task(truths, LABELS, QUICK, grid=GRID), tmp_path / "honest")
    own = EnsembleSettings(selection="reported", rank_by="psds1", at_50=False)
    assert honest[0]["system"] == "best"
    ranked = rank(swapped, Task(truths, LABELS, own, grid=GRID), tmp_path / "own")
    assert ranked[0]["system"] == "worst"
    assert ranked[0]["figure"] == ranked[0]["psds1"]
    assert mode_of(own, truths["validation"]) == "reported"
    ranking = json.loads((tmp_path / "own" / "ranking.json").read_text())
    assert (ranking["set"], "on the clips that are scored" in ranking["selection"]) == ("validation", True)
    assert ranking["tuned_on"] == "tuned on the clips that it is scored on"


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*.*"))}


def test_what_is_there_stays_and_what_is_missing_or_of_other_inputs_is_made_again(
    systems: dict[str, Sets], tmp_path: Path
) -> None:
    truths = {name: TRUTHS[name] for name in ("development", "validation")}
    four = {name: systems[name] for name in ("best", "second", "third", "fourth")}
    settings = EnsembleSettings(decoding="development", at_50=False)
    first = make_results(four, truths, LABELS, settings, tmp_path, grid=GRID)
    before = stamps(tmp_path)
    assert make_results(four, truths, LABELS, settings, tmp_path, grid=GRID) == json.loads(json.dumps(first))
    assert stamps(tmp_path) == before
    (tmp_path / "result2" / "events.tsv").unlink()
    (tmp_path / "result3" / "metrics.json").write_text("{ cut off")
    again = make_results(four, truths, LABELS, settings, tmp_path, grid=GRID)
    assert again == json.loads(json.dumps(first))
    remade = {path for path, stamp in stamps(tmp_path).items() if before[path] != stamp}
    assert {path.split("/")[0] for path in remade} == {"result2", "result3"}
    four["fourth"] = system(4.0, 99, truths)  # in Results 2 and 4 only
    make_results(four, truths, LABELS, settings, tmp_path, grid=GRID)
    changed = {number for number in RESULT_WEIGHTS if metrics(tmp_path, number) != again[number - 1]}
    assert changed == {2, 4}


def test_fewer_than_four_systems_need_a_setting(systems: dict[str, Sets], tmp_path: Path) -> None:
    truths = {name: TRUTHS[name] for name in ("development", "validation")}
    two = {name: systems[name] for name in ("best", "worst")}
    with pytest.raises(SedgeError, match=r"at least 4 systems, found 2 \(best, worst\); the setting `few`"):
        make_results(two, truths, LABELS, EnsembleSettings(), tmp_path, grid=GRID)
    assert not list(tmp_path.iterdir())
    few = EnsembleSettings(few=True, at_50=False)
    with pytest.raises(SedgeError, match=r"at least 1 systems, found 0 \(none\)"):
        make_results({}, truths, LABELS, few, tmp_path, grid=GRID)
    made = make_results(two, truths, LABELS, few, tmp_path, grid=GRID)
    assert [of["systems"] for of in made] == [["best", "worst"]] * 4
    assert [of["systems_intended"] for of in made] == [3, 4, 2, 4]
    assert made[3]["weights"] == pytest.approx([2 / 3, 1 / 3])


def test_scores_that_do_not_fit_are_refused(systems: dict[str, Sets], tmp_path: Path) -> None:
    settings = EnsembleSettings(few=True, at_50=False)

    def attempt(of_system: Sets, truths: dict[str, Truth] = TRUTHS) -> None:
        make_results(
            {"good": systems["best"], "bad": of_system}, truths, LABELS, settings, tmp_path, grid=GRID
        )

    with pytest.raises(SedgeError, match="expected the development set and one to report on"):
        attempt(systems["best"], {"validation": TRUTHS["validation"]})
    with pytest.raises(SedgeError, match=r"system bad, set public: expected scores"):
        attempt({name: systems["best"][name] for name in ("development", "validation")})
    public = dict(systems["best"]["public"])
    with pytest.raises(SedgeError, match=r"system bad, set public: .*1 missing: 'p_0.wav'"):
        attempt(
            {**systems["best"], "public": {name: clip for name, clip in public.items() if name != "p_0.wav"}}
        )
    with pytest.raises(SedgeError, match=r"'p_0.wav': expected \(frame, 2\), found \(200, 3\)"):
        attempt({**systems["best"], "public": {**public, "p_0.wav": np.zeros((200, 3), np.float32)}})
    shorter = {**public, "p_0.wav": public["p_0.wav"][:-1]}
    with pytest.raises(SedgeError, match=r"'p_0.wav': expected systems with the same frames"):
        fuse([public, shorter], (1, 1))
    with pytest.raises(ValidationError, match="rank_by"):
        EnsembleSettings(rank_by="f1")


def test_the_hash_tells_inputs_apart() -> None:
    clip = np.zeros((3, 2), np.float32)
    inputs = [
        {"a": clip},
        {"b": clip},
        {"a": clip.T},
        {"a": clip.astype(np.float64)},
        [["a", "b"], "c"],
        ["a", ["b", "c"]],
        TRUTHS["public"],
        TRUTHS["validation"],
        0.1,
    ]
    hashes = [digest(value) for value in inputs]
    assert len(set(hashes)) == len(inputs)
    assert hashes == [digest(value) for value in inputs]
