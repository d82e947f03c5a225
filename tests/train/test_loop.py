"""The training loop: it learns, and a run that was killed ends as one that was not."""

import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_app.core.errors import SedgeError
from train.fitting.checkpoint import load_model, read_tensors, save_model
from train.fitting.loop import LossTerms, Step, Training, fingerprint, train
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.losses import clip_loss, focal_loss, frame_loss
from train.fitting.randomness import step_generator
from train.fitting.schedule import ScheduleSettings
from train.models.mlfl import MLFL, MLFLConfig, pool_tag_logit
from train.models.tag_cnn import TagCNN, TagCNNConfig

N_LABELS = 2
LABELS = ("Cat", "Dog")
TINY_MLFL = MLFLConfig(N_LABELS, channels=(8, 8, 8))
TINY_TAG_CNN = TagCNNConfig(N_LABELS, channels=(4,) * 9, row_channels=(8, 8))
SETTINGS = LoopSettings(
    steps=6,
    batch=BatchSettings(synthetic=4),
    checkpoint_steps=3,
    schedule=ScheduleSettings(warmup_steps=2),
    threads=1,
    average_decay=0.5,
    precision="float32",
)


class Killed(BaseException):
    """Stands for what ends a process."""


def sounds() -> tuple[Tensor, Tensor]:
    """Spectra with a band where a label sounds, and the activity, for four clips."""
    source = torch.Generator().manual_seed(1)
    active = torch.zeros(4, 50, N_LABELS)
    for clip, (label, first) in enumerate(((0, 5), (1, 20), (0, 30), (1, 2))):
        active[clip, first : first + 15, label] = 1
    log_mel = torch.randn(4, 50, 128, generator=source) - 10
    log_mel[:, :, 20:40] += 6 * active[:, :, :1]
    log_mel[:, :, 80:110] += 6 * active[:, :, 1:]
    return log_mel, active


def mlfl_terms(model: nn.Module, step: Step) -> LossTerms:
    log_mel, active = sounds()
    log_mel = log_mel + 0.1 * torch.randn(log_mel.shape, generator=step_generator(0, step.number))
    valid = torch.ones(4, 50)
    output = model(log_mel, valid)
    tag_logit = pool_tag_logit(output.logit, output.evidence, valid)
    return {
        "clip": clip_loss(tag_logit, active.amax(1)),
        "detection": focal_loss(output.detection_logit, active),
    }


def tag_cnn_terms(model: nn.Module, _: Step) -> LossTerms:
    log_mel, active = sounds()
    tags = active.amax(1, keepdim=True).expand(-1, 50, -1)
    return {"frame": frame_loss(model(log_mel, tags, torch.ones(4, 50)), active, torch.ones(4, 50))}


def new_mlfl(seed: int = 0) -> MLFL:
    torch.manual_seed(seed)
    return MLFL(TINY_MLFL)


def new_tag_cnn() -> TagCNN:
    torch.manual_seed(0)
    model = TagCNN(TINY_TAG_CNN)
    model.input_norm.set_statistics(torch.full((128,), -10.0), torch.full((128,), 4.0))
    return model


def logged(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["mlfl", "tag_cnn"])
def test_a_batch_can_be_learnt_by_heart(kind, tmp_path) -> None:
    model, terms = (new_mlfl(), mlfl_terms) if kind == "mlfl" else (new_tag_cnn(), tag_cnn_terms)
    schedule = ScheduleSettings(peak=2e-2, warmup_steps=5)
    changes = {"steps": 60, "checkpoint_steps": 10, "schedule": schedule, "average_decay": 0.8}
    train(model, partial(terms, model), SETTINGS.model_copy(update=changes), tmp_path, "run")
    for term in terms(model, Step(0, 0, 0.0, model)):
        first, *_, last = (line[term] for line in logged(tmp_path))
        assert last < 0.5 * first


def test_what_is_kept_is_the_average_of_the_weights(tmp_path) -> None:
    model, settings = new_mlfl(), SETTINGS.model_copy(update={"average_decay": 0.3})
    training = Training(model, settings, tmp_path, "run")
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(4):
        training.take_step(partial(mlfl_terms, model))
        decay = min(0.3, 1 - 1 / (step + 1))
        for name, tensor in model.state_dict().items():
            is_count = not tensor.is_floating_point()
            expected[name] = tensor.clone() if is_count else decay * expected[name] + (1 - decay) * tensor
    torch.testing.assert_close(dict(training.average.state_dict()), expected)
    assert not any(parameter.requires_grad for parameter in training.average.parameters())
    assert not train(model, partial(mlfl_terms, model), settings, tmp_path, "run").average.training


def test_pitfall_teacher_equals_student_after_step_0_and_has_its_full_decay_from_step_999(tmp_path) -> None:
    model = new_mlfl()
    training = Training(model, SETTINGS.model_copy(update={"average_decay": 0.999}), tmp_path, "run")
    training.take_step(partial(mlfl_terms, model))
    for name, tensor in model.state_dict().items():
        assert torch.equal(training.average.state_dict()[name], tensor), name
    for step, decay in ((1, 0.5), (998, 1 - 1 / 999), (999, 0.999), (5000, 0.999)):
        training.step = step
        before = training.average.state_dict()["tagger.bias"].clone()
        training.take_step(partial(mlfl_terms, model))
        expected = decay * before + (1 - decay) * model.tagger.bias
        torch.testing.assert_close(
            training.average.state_dict()["tagger.bias"], expected, rtol=1e-5, atol=1e-7
        )


def test_pitfall_batch_norm_statistics_are_averaged_as_weights_are(tmp_path) -> None:
    model = new_mlfl()
    training = Training(model, SETTINGS, tmp_path, "run")
    tracked = []
    for _ in range(3):
        training.take_step(partial(mlfl_terms, model))
        tracked.append(model.state_dict()["input_norm.running_mean"].clone())
    expected = tracked[0]
    for later, decay in zip(tracked[1:], (0.5, 0.5), strict=True):
        expected = decay * expected + (1 - decay) * later
    kept = training.average.state_dict()
    torch.testing.assert_close(kept["input_norm.running_mean"], expected)
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert not training.average.training


def test_the_best_average_is_kept_where_quality_is_measured(tmp_path) -> None:
    model, seen = new_mlfl(), []
    settings = SETTINGS.model_copy(update={"steps": 9, "validation_steps": 3})

    def quality(average: nn.Module) -> dict[str, float]:
        seen.append({name: tensor.clone() for name, tensor in average.state_dict().items()})
        return {"made_up": [0.3, 0.9, 0.5][len(seen) - 1], "other": 1.0}

    kept = train(model, partial(mlfl_terms, model), settings, tmp_path, "run", quality=quality).average
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in kept.state_dict().items())
    assert [line["quality"]["made_up"] for line in logged(tmp_path)] == [0.3, 0.9, 0.5]
    again = train(new_mlfl(3), partial(mlfl_terms, model), settings, tmp_path, "run", quality=quality).average
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in again.state_dict().items())


def trained(folder: Path, seed: int = 0, until: int | None = None) -> dict[str, Tensor]:
    """Train a new model in a folder; die in the middle of step `until` if given."""
    model = new_mlfl(seed)

    def terms(step: Step) -> LossTerms:
        if step.number == until:
            raise Killed
        return mlfl_terms(model, step)

    trained = train(model, terms, SETTINGS, folder, "run", fast=list(model.attention.parameters()))
    return dict(trained.average.state_dict())


@pytest.mark.parametrize("until", [0, 2, 3, 5])
def test_a_killed_run_ends_with_the_same_bits(until, tmp_path) -> None:
    straight = trained(tmp_path / "straight")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", until=until)
    reached = tmp_path / "killed" / "state.safetensors"
    assert (read_tensors(reached)[1]["step"] if reached.exists() else 0) == until // 3 * 3
    # a new process would make its model anew: from another seed here, to see that nothing of it stays
    resumed = trained(tmp_path / "killed", seed=0 if until < 3 else 99)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    states = [read_tensors(tmp_path / run / "state.safetensors")[0] for run in ("straight", "killed")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    first = trained(tmp_path)
    again = trained(tmp_path, until=6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len(logged(tmp_path)) == 2


def test_another_run_in_the_same_folder_is_refused(tmp_path) -> None:
    model = new_mlfl()
    train(model, partial(mlfl_terms, model), SETTINGS, tmp_path, fingerprint(loop=SETTINGS))
    other = SETTINGS.model_copy(update={"steps": 7})
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(
        SedgeError, match=r"state\.safetensors: expected a run with the same data and settings"
    ):
        train(model, partial(mlfl_terms, model), other, tmp_path, fingerprint(loop=other))
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path) -> None:
    model = new_mlfl()
    with pytest.raises(SedgeError, match="step 0: expected a finite loss, found nan"):
        train(
            model,
            lambda step: {"clip": mlfl_terms(model, step)["clip"] * math.nan},
            SETTINGS,
            tmp_path,
            "run",
        )
    assert not (tmp_path / "state.safetensors").exists()


def test_fast_parameters_take_larger_steps(tmp_path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 1, "weight_decay": 0.0})
    moved = []
    for is_fast in (False, True):
        model, start = new_mlfl(), new_mlfl().state_dict()
        fast = list(model.attention.parameters()) if is_fast else []
        training = Training(model, settings, tmp_path, "run", fast)
        training.take_step(partial(mlfl_terms, model))
        steps = [
            model.state_dict()[f"{part}.weight"] - start[f"{part}.weight"] for part in ("attention", "tagger")
        ]
        moved.append([step.abs().max().item() for step in steps])
    (slow_attention, slow_tagger), (fast_attention, fast_tagger) = moved
    assert fast_attention / slow_attention == pytest.approx(SETTINGS.fast_scale, rel=1e-3)
    assert fast_tagger == slow_tagger > 0


def test_randomness_comes_from_seed_and_step() -> None:
    draws = {
        tuple(torch.rand(3, generator=step_generator(seed, step, shard)).tolist())
        for seed in (0, 1)
        for step in (-1, 0, 1)
        for shard in (0, 1)
    }
    assert len(draws) == 12
    assert torch.equal(
        torch.rand(3, generator=step_generator(1, 5)), torch.rand(3, generator=step_generator(1, 5))
    )


@pytest.mark.parametrize(("kind", "make"), [("mlfl", new_mlfl), ("tag_cnn", new_tag_cnn)])
def test_a_checkpoint_rebuilds_its_model(kind, make, tmp_path) -> None:
    model, path = make(), tmp_path / "model.safetensors"
    save_model(path, kind, model, LABELS, {"seed": 7})
    rebuilt, about = load_model(path, kind)
    assert rebuilt.config == model.config
    assert not rebuilt.training
    assert (about["event_labels"], about["seed"]) == (list(LABELS), 7)
    assert all(torch.equal(one, other) for one, other in zip(
        model.state_dict().values(), rebuilt.state_dict().values(), strict=True
    ))  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_checkpoints_hold_numbers_and_json_and_nothing_else(tmp_path) -> None:
    trained(tmp_path)
    save_model(tmp_path / "model.safetensors", "mlfl", new_mlfl(), LABELS, {})
    for name in ("state.safetensors", "model.safetensors"):
        content = (tmp_path / name).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        assert isinstance(json.loads(header.pop("__metadata__")["about"]), dict)
        spans = sorted(tuple(tensor["data_offsets"]) for tensor in header.values())
        assert spans[0][0] == 0
        assert all(earlier[1] == later[0] for earlier, later in pairwise(spans))
        assert spans[-1][1] == len(content) - 8 - length
        assert {tensor["dtype"] for tensor in header.values()} <= {"F32", "I64"}


def test_a_checkpoint_of_another_kind_is_refused(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, "tag_cnn", new_tag_cnn(), LABELS, {})
    with pytest.raises(SedgeError, match=r"model\.safetensors: model: expected mlfl, found tag_cnn"):
        load_model(path, "mlfl")


@pytest.mark.parametrize("config", [{"n_labels": 2, "unheard_of": 1}, {"n_labels": 3}, {"n_mels": 64}])
def test_a_model_of_another_version_is_refused(config, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, "mlfl", new_mlfl(), LABELS, {"config": config})
    with pytest.raises(
        SedgeError, match=r"model\.safetensors: expected a mlfl model of this version"
    ) as caught:
        load_model(path, "mlfl")
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told_before_the_first_step(tmp_path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OSError, match="run"):
        trained(tmp_path / "run" / "mlfl" / "0", until=0)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04K\x01.", "short"])
def test_what_is_no_checkpoint_is_refused(content, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    if content == "short":
        save_model(path, "mlfl", new_mlfl(), LABELS, {})
        content = path.read_bytes()[:-100]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SedgeError, match=r"model\.safetensors: expected a checkpoint of Sedge") as caught:
        load_model(path, "mlfl")
    assert "\n" not in str(caught.value)
