"""Recipes: those that are shipped, and what is said of one that is wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.cli import main
from edge_app.core.errors import SedgeError
from edge_app.core.labels import DESED_LABELS
from train.pipeline.recipe import RECIPES, Recipe, find_recipe, laid_over, read_recipe

HEAD = 'name = "trial"\n[data]\nbank = "bank"\n'
SHIPPED = ("desed.toml", "household-cpu.toml", "household.toml", "smoke.toml")


def write(folder: Path, text: str) -> Path:
    path = folder / "trial.toml"
    path.write_text(text)
    return path


def problem(folder: Path, text: str) -> str:
    """What is said of a recipe, without the file that it is said of."""
    path = write(folder, text)
    with pytest.raises(SedgeError) as caught:
        read_recipe(path)
    found = str(caught.value)
    assert found.startswith(f"{path}: ")
    assert "\n" not in found
    return found.removeprefix(f"{path}: ")


def test_all_shipped_recipes_are_read() -> None:
    assert tuple(sorted(path.name for path in RECIPES.iterdir())) == SHIPPED
    for name in SHIPPED:
        recipe = read_recipe(find_recipe(name))
        assert f"{recipe.name}.toml" == name
        assert find_recipe(recipe.name) == RECIPES / name
        assert len(recipe.seeds) == 4


def test_desed_has_the_reports_values() -> None:
    recipe = read_recipe(find_recipe("desed"))
    assert recipe.seeds == (1, 2, 3, 4)
    assert recipe.data.event_labels == tuple(sorted(DESED_LABELS))
    stages = (recipe.fbcrnn, recipe.mlfl, recipe.tag_cnn, recipe.baseline)
    assert {stage.preset for stage in stages} == {"full"}
    assert recipe.fbcrnn.kernels == "3x3"
    batches = {"synthetic": 12, "weak": 12, "unlabelled": 24}
    for stage in (recipe.mlfl, recipe.baseline):
        assert stage.loop.batch.model_dump() == batches
        assert (stage.loop.optimiser, stage.loop.schedule.peak, stage.loop.average_decay) == (
            "adam",
            1e-3,
            0.999,
        )
    assert (recipe.fbcrnn.loop.batch.size, recipe.tag_cnn.loop.batch.size) == (16, 24)
    assert (recipe.fbcrnn.augment.superpose_frames, recipe.tag_cnn.augment.superpose_frames) == (750, 600)
    assert recipe.mlfl.loss.ifdc_weight > 0
    assert recipe.mlfl.loss.detection == "focal"
    assert recipe.ensemble.selection == "development"
    assert not recipe.ensemble.few


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sedes = [1]\n" + HEAD, "sedes: unknown key: did you mean 'seeds'?"),
        ('nane = "trial"\n[data]\n', "nane: unknown key: did you mean 'name'?"),
        (HEAD + "[mlfI]\n", "mlfI: unknown key: did you mean 'mlfl'?"),
        (HEAD + "[mlfl]\npresett = 'full'\n", "mlfl.presett: unknown key: did you mean 'preset'?"),
        (HEAD + "[mlfl.loop]\nstep = 3\n", "mlfl.loop.step: unknown key: did you mean 'steps'?"),
        (HEAD + "[mlfl.loop.batch]\nwek = 3\n", "mlfl.loop.batch.wek: unknown key: did you mean 'weak'?"),
        (
            HEAD + "[mlfl.loop.schedule]\nwarm_up_steps = 3\n",
            "mlfl.loop.schedule.warm_up_steps: unknown key: did you mean 'warmup_steps'?",
        ),
        (HEAD + "[tag_cnn.augment]\nblurr = 1\n", "tag_cnn.augment.blurr: unknown key: did you mean 'blur"),
        (HEAD + "banc = 'bank'\n", "data.banc: unknown key: did you mean 'bank'?"),
        (HEAD + "[data.mix.weak]\nclisp = 3\n", "data.mix.weak.clisp: unknown key: did you mean 'clips'?"),
        (
            HEAD + "[data.mix.validation]\nclips = 3\ndomian = 'real'\n",
            "data.mix.validation.domian: unknown key: did you mean 'domain'?",
        ),
        (HEAD + "[ensemble]\nfew_ = true\n", "ensemble.few_: unknown key: did you mean 'few'?"),
        (HEAD + "[fbcrnn]\nxyz = 1\n", "fbcrnn.xyz: unknown key: expected one of augment, kernels, loop"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(expected)


def _tables(model: Any, place: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], list[str]]]:
    """Every table of a recipe that has its own keys, with these."""
    below = [
        entry
        for name in type(model).model_fields
        if hasattr(type(value := getattr(model, name)), "model_fields")
        for entry in _tables(value, (*place, name))
    ]
    return [(place, list(type(model).model_fields)), *below]


@settings(max_examples=40)
@given(st.data())
def test_a_letter_too_many_is_found_at_every_depth(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    recipe = read_recipe(find_recipe("smoke"))
    place, keys = data.draw(st.sampled_from(_tables(recipe)))
    key = data.draw(st.sampled_from(keys))
    table: dict[str, Any] = {f"{key}x": 1}
    for name in reversed(place):
        table = {name: table}
    with pytest.raises(SedgeError) as caught:
        read_recipe(find_recipe("smoke"), table)
    where = ".".join([*place, f"{key}x"])
    assert str(caught.value).endswith(f": {where}: unknown key: did you mean {key!r}?")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeds = 'one'\n" + HEAD, ("seeds: ", "found 'one'")),
        ("seeds = []\n" + HEAD, ("seeds: ", "at least 1", "found []")),
        ("seeds = [1, 2, 2, 4]\n" + HEAD, ("seeds: expected different numbers", "found [1, 2, 2, 4]")),
        ("seeds = [-1, 2, 3, 4]\n" + HEAD, ("seeds.0: ", "greater than or equal to 0", "found -1")),
        ("[data]\nbank = 'bank'\n", ("name: expected a value, found none",)),
        ("name = 'trial'\n", ("data: expected a value, found none",)),
        ("name = 'a/b'\n[data]\n", ("name: ", "found 'a/b'")),
        ("name = '..'\n[data]\n", ("name: ", "found '..'")),
        (HEAD + "desed = 'there'\n", ("data: expected one of desed and bank, found both",)),
        (HEAD + "hold_out = 1.0\n", ("data.hold_out: ", "less than 1", "found 1.0")),
        (HEAD + "[data.mix]\nweak = 3\n", ("data.mix.weak: ", "found 3")),
        (HEAD + "[data.mix]\nweak = { clips = 0 }\n", ("data.mix.weak.clips: ", "greater", "found 0")),
        (
            HEAD + "[data.mix.weak]\nclips = 1\noverrides = { snr = 1 }\n",
            ("data.mix.weak: overrides", "'snr'"),
        ),
        (HEAD + "[mlfl]\npreset = 'smal'\n", ("mlfl.preset: ", "'full' or 'small'", "found 'smal'")),
        (HEAD + "[mlfl.loop]\nsteps = 'many'\n", ("mlfl.loop.steps: ", "integer", "found 'many'")),
        (HEAD + "[mlfl.loop]\nsteps = 1.5\n", ("mlfl.loop.steps: ", "integer", "found 1.5")),
        (HEAD + "[mlfl.loop]\naverage_decay = 1.0\n", ("mlfl.loop.average_decay: ", "found 1.0")),
        (HEAD + "[mlfl.loop]\ngradient_norm = nan\n", ("mlfl.loop.gradient_norm: ", "found nan")),
        (HEAD + "[mlfl.loop]\nbatch = 24\n", ("mlfl.loop.batch: ", "found 24")),
        (HEAD + "[pseudo_label]\nfilters = [10]\n", ("pseudo_label.filters: expected odd", "found [10]")),
        (HEAD + "[measure]\ngate = 'hard'\n", ("measure.gate: ", "'none'", "'best'", "found 'hard'")),
        (HEAD + "mlfl = 3\n", ("data.mlfl: unknown key",)),
    ],
)
def test_a_wrong_value_is_named_with_its_key(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    found = problem(tmp_path, text)
    assert found.startswith(expected[0])
    assert all(part in found for part in expected)


@pytest.mark.parametrize("text", ["name = trial\n", "name = 'one'\nname = 'two'\n", "[data\n"])
def test_what_is_no_toml_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    found = problem(tmp_path, text)
    assert found.startswith("expected TOML, found an error: ")
    assert "line " in found


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trial.toml"
    path.write_bytes(b"name = '\xff'\n")
    with pytest.raises(SedgeError, match="expected TOML"):
        read_recipe(path)


def test_folders_are_taken_from_where_the_recipe_is(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path = write(tmp_path / "recipes", "name = 'trial'\n[data]\ndesed = '../there'\nalso = ['more']\n")
    data = read_recipe(path).data
    assert data.desed == tmp_path / "there"
    assert data.also == (tmp_path / "recipes" / "more",)
    assert read_recipe(path, {"data": {"desed": Path("here")}}).data.desed == Path("here")


@settings(max_examples=40)
@given(st.integers(1, 50), st.integers(0, 50))
def test_what_is_laid_over_replaces_its_own_keys_alone(steps: int, weak: int) -> None:
    path = find_recipe("smoke")
    plain, over = read_recipe(path), {"mlfl": {"loop": {"steps": steps, "batch": {"weak": weak}}}}
    changed = read_recipe(path, over)
    assert (changed.mlfl.loop.steps, changed.mlfl.loop.batch.weak) == (steps, weak)
    assert changed.mlfl.loop.batch.synthetic == plain.mlfl.loop.batch.synthetic
    restored = laid_over(changed.model_dump(), {"mlfl": plain.mlfl.model_dump()})
    assert Recipe.model_validate(restored) == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "[mlfl.loop]\nstep = 3\n", "mlfl.loop.step: unknown key: did you mean 'steps'?"),
        (
            HEAD + "[mlfl.loop]\nsteps = 0\n",
            "mlfl.loop.steps: Input should be greater than or equal to 1, found 0",
        ),
        ("name = trial\n", "expected TOML, found an error"),
    ],
)
def test_the_command_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    path = write(tmp_path, text)
    assert main(["train", str(path), "--runs", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sedge: {path}: {expected}")
    assert not (tmp_path / "runs").exists()


def test_a_recipe_that_is_not_there_lists_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("desert", str(tmp_path / "desed.toml")):
        assert main(["train", name, "--runs", str(tmp_path / "runs")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        expected = f"expected a recipe's file or one of {', '.join(SHIPPED)}, found no such file"
        assert line == f"sedge: {name}: {expected}"
