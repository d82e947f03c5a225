"""Which checkpoints become members: runs, their rankings, files, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from edge_app.core.errors import EXIT_USAGE, SedgeError
from export.commands.export_bundle import main as export_command
from export.members import choose_members, chosen_gate
from tests.models import write_tiny_run


@pytest.fixture(scope="module")
def unranked(tmp_path_factory) -> Path:
    """A run of three untrained pairs, as training leaves it before its ensemble stage."""
    return write_tiny_run(tmp_path_factory.mktemp("run"), (1, 2, 10))


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def rank(run: Path, figures: dict[str, float]) -> None:
    best_first = sorted(figures.items(), key=lambda each: -each[1])
    rows = [{"system": seed, "figure": figure, "psds1": figure} for seed, figure in best_first]
    write_json(run / "ensemble" / "ranking.json", {"set": "development", "rank_by": "mean", "systems": rows})


@pytest.fixture
def ranked(unranked, tmp_path) -> Path:
    shutil.copytree(unranked, tmp_path / "ranked")
    rank(tmp_path / "ranked", {"2": 0.31, "10": 0.4, "1": 0.2})
    return tmp_path / "ranked"


def seeds(members) -> list[int]:
    return [member.provenance["tag_cnn"]["seed"] for member in members]


def checkpoints(run: Path, *of: int) -> list[Path]:
    return [run / kind / str(seed) / "model.safetensors" for seed in of for kind in ("mlfl", "tag_cnn")]


def test_a_run_without_a_ranking_comes_in_the_order_of_its_seeds(unranked) -> None:
    assert seeds(choose_members([unranked])) == [1, 2, 10]
    assert seeds(choose_members([unranked], 3)) == [1, 2, 10]


def test_the_ranking_on_development_clips_orders_the_members(ranked) -> None:
    assert seeds(choose_members([ranked])) == [10, 2, 1]
    assert seeds(choose_members([ranked], 2)) == [10, 2]


def test_runs_that_are_ranked_both_are_merged_by_their_figures(ranked, unranked, tmp_path) -> None:
    shutil.copytree(unranked, tmp_path / "other")
    rank(tmp_path / "other", {"1": 0.35, "2": 0.1, "10": 0.05})
    assert seeds(choose_members([ranked, tmp_path / "other"], 3)) == [10, 1, 2]


def test_the_best_of_an_unranked_run_are_not_guessed(unranked, ranked) -> None:
    for runs in ([unranked], [ranked, unranked]):
        with pytest.raises(
            SedgeError, match=r"expected .*ensemble/ranking\.json, which says which are the best"
        ):
            choose_members(runs, 2)


def test_pairs_of_checkpoints_come_as_they_are_named(unranked) -> None:
    assert seeds(choose_members(checkpoints(unranked, 10, 1))) == [10, 1]
    assert seeds(choose_members(checkpoints(unranked, 10, 1), 1)) == [10]


def test_a_ranking_of_other_systems_is_refused(ranked) -> None:
    rank(ranked, {"1": 0.1, "7": 0.2})
    with pytest.raises(SedgeError, match=r"ranking\.json: expected systems that are in the run, found 7"):
        choose_members([ranked])


def test_a_damaged_ranking_is_refused(ranked) -> None:
    (ranked / "ensemble" / "ranking.json").write_text("{")
    with pytest.raises(SedgeError, match=r"ranking\.json: expected readable JSON"):
        choose_members([ranked])


@pytest.mark.parametrize("n_members", [0, -1, 4])
def test_as_many_members_as_there_are(unranked, n_members) -> None:
    with pytest.raises(SedgeError, match=f"--members: expected 1 to 3, found {n_members}"):
        choose_members([unranked], n_members)


def test_half_a_pair_and_mixed_sources_are_refused(unranked) -> None:
    paths = checkpoints(unranked, 1, 2)
    for sources in ([], paths[:3], [unranked, *paths[:1]], [unranked, *paths]):
        with pytest.raises(SedgeError, match="folders of runs, or pairs of checkpoint files, MLFL TAG_CNN"):
            choose_members(sources)


def test_swapped_checkpoints_are_refused(unranked) -> None:
    with pytest.raises(SedgeError, match="mlfl"):
        choose_members(checkpoints(unranked, 1)[::-1])


def test_the_gate_is_what_the_runs_chose(ranked, unranked) -> None:
    assert chosen_gate([unranked]) == "soft"
    way = {"tags_as": "soft", "gate": "none", "chosen_on": "development"}
    write_json(ranked / "ensemble" / "conditioning.json", way)
    assert chosen_gate([ranked]) == "none"
    assert chosen_gate([ranked, unranked]) == "none"
    assert chosen_gate(checkpoints(unranked, 1)) == "soft"


def test_a_gate_that_the_graph_cannot_have_is_refused(ranked) -> None:
    write_json(ranked / "ensemble" / "conditioning.json", {"tags_as": "binary", "gate": "binary"})
    with pytest.raises(
        SedgeError, match="expected soft tags and a gate of none or soft, found binary and binary"
    ):
        chosen_gate([ranked])


def test_runs_that_chose_different_gates_are_refused(ranked, unranked, tmp_path) -> None:
    shutil.copytree(ranked, tmp_path / "other")
    for run, gate in ((ranked, "none"), (tmp_path / "other", "soft")):
        write_json(run / "ensemble" / "conditioning.json", {"tags_as": "soft", "gate": gate})
    with pytest.raises(SedgeError, match="gate: expected runs that chose alike"):
        chosen_gate([ranked, tmp_path / "other"])


def refusal(arguments: list[object]) -> str:
    with pytest.raises(SedgeError) as caught:
        export_command([str(argument) for argument in arguments])
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value)


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        (["0.5"], r"[0.5]"),
        (["0.5", "0.6"], r"[0.5, 0.6]"),
        (["0.5,0.25,0.25"], r"[0.5, 0.25, 0.25]"),
        (["1.5,-0.5"], r"[1.5, -0.5]"),
        (["nan,0.5"], r"[nan, 0.5]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(unranked, tmp_path, weights, found) -> None:
    paths = checkpoints(unranked, 1, 2)
    message = refusal([*paths, "--out", tmp_path / "out", "--weights", *weights])
    assert message == f"--weights: expected 2 that sum to 1, found {found}"
    assert "expected numbers, found 'half'" in refusal(
        [*paths, "--out", tmp_path / "out", "--weights", "half"]
    )


def test_int8_without_clips_is_refused_before_anything_is_exported(unranked, tmp_path) -> None:
    for clips in ([], ["--calibration", tmp_path], ["--validation", tmp_path]):
        message = refusal([unranked, "--out", tmp_path / "out", "--precision", "int8", *clips])
        assert "--precision int8: expected --calibration CLIPS" in message
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_work_is_refused_before_anything_is_exported(unranked, tmp_path) -> None:
    nothing, out = tmp_path / "nothing", ["--out", tmp_path / "out"]
    (tmp_path / "thesis.txt").touch()
    assert "found other files" in refusal([unranked, "--out", tmp_path])
    assert "--name: expected a name" in refusal([unranked, *out, "--name", ""])
    assert "pairs of checkpoint files" in refusal([nothing, *out])
    clips = ["--precision", "int8", "--calibration", nothing, "--validation", tmp_path]
    assert f"--calibration: {nothing}: expected recordings, found no such" in refusal(
        [unranked, *out, *clips]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_clips_that_would_not_be_used_are_refused(unranked, tmp_path) -> None:
    out = ["--out", tmp_path / "out"]
    assert "--calibration: expected with --precision int8" in refusal(
        [unranked, *out, "--precision", "fp16", "--calibration", tmp_path]
    )
    assert "--validation: expected with another precision" in refusal(
        [unranked, *out, "--validation", tmp_path]
    )
