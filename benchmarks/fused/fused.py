"""`sedge bench-fused`: what the fused graph costs, in each precision, beside the machine's speed and a baseline."""

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.arithmetic import PRODUCT_SIZE, MatrixProduct
from benchmarks.files.throughput import one_core
from benchmarks.fused.baseline import export_baseline
from benchmarks.fused.fused_gpu import NO_GPU, GpuSpeed, gpu_name, runtime_speeds, torch_speeds
from benchmarks.fused.fused_graphs import (
    PRECISIONS,
    FusedGraph,
    Pair,
    Precision,
    Preset,
    bundle_graphs,
    ensemble,
    ensemble_graphs,
    trained_pairs,
    untrained_pairs,
)
from benchmarks.fused.fused_times import CLIP, GroupSpeed, Speed, group_speed
from benchmarks.recording import looped, soundscape
from benchmarks.report import (
    Figure,
    Machine,
    bundle_setting,
    check_positive,
    progress,
    report_console,
    say,
    this_machine,
    write_result,
)
from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.events import FRAME_S
from edge_app.core.logmel import log_mel
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig

CLIP_S = 10

DESCRIPTION = """Time the fused graph on one core, in one thread, in each precision: live steps of 10, 25 and 50 frames
and a clip of ten seconds, of the bundle and of ensembles of untrained models (or those of --runs), by turns with a
matrix product of NumPy, whose rate the arithmetic is set against, and with the baseline CRNN on the same clip. Where
there is an NVIDIA GPU, the largest ensemble is timed there too."""


@dataclass(frozen=True)
class BenchFused:
    """Arguments of `sedge bench-fused`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Bundle to measure; without it, the one that comes with the program."""
    members: Annotated[tuple[int, ...], tyro.conf.arg(metavar="K ...")] = (1, 4)
    """Sizes of the ensembles to measure beside the bundle."""
    preset: Preset = "full"
    """Width of their untrained models, and of the baseline."""
    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")] = ()
    """Runs whose trained models are measured in place of untrained ones."""
    precisions: Annotated[tuple[Precision, ...], tyro.conf.arg(metavar="|".join(PRECISIONS))] = PRECISIONS
    """Precisions of the graphs."""
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 60.0
    """About how long the bundle and each ensemble are timed, all precisions together."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""


@dataclass(frozen=True, slots=True)
class FusedReport:
    """All figures of one run."""

    bundle: str
    graph_sha256: str
    models: str
    """Which models the ensembles are made of."""
    core: int | None
    """The core that the processor's figures were taken on; None where this system cannot say which."""
    groups: tuple[GroupSpeed, ...]
    gpu: str | None
    """Its name; None where there is none."""
    gpu_members: int
    """Members of the ensemble that was timed there."""
    on_gpu: tuple[GpuSpeed, ...]
    machine: Machine


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-fused`; returns 0. Raises SedgeError for wrong use, and unusable bundles and runs."""
    args = tyro.cli(BenchFused, args=list(argv), prog="sedge bench-fused", description=DESCRIPTION)
    check_positive({"seconds": args.seconds, "members": min(args.members, default=1)})
    if not args.precisions:
        raise SedgeError(f"--precisions: expected some of {', '.join(PRECISIONS)}, found none")
    report = measure(args)
    show(report, report_console())
    settings = {
        "bundle": bundle_setting(report.bundle, report.graph_sha256),
        "models": report.models,
        "seconds": args.seconds,
        "threads": 1,
    }
    write_result(args.json, "fused", report.machine, settings, figures_of(report), report)
    return EXIT_DONE


def measure(args: BenchFused) -> FusedReport:
    """Write the graphs, and time one ensemble after the other."""
    bundle = load_bundle(args.bundle)
    features = window_features(bundle)
    with tempfile.TemporaryDirectory(prefix="sedge-") as name:
        progress("writing graphs")
        groups = _graphs(args, bundle, features, Path(name))
        baseline_path = Path(name) / "baseline.onnx"
        export_baseline(_baseline(args, bundle), len(features), baseline_path)
        # A process of its own, pinned before it starts: libraries ask at their start how many cores there are.
        with one_core() as core, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            work = pool.submit(time_groups, groups, baseline_path, features, args.seconds, PRODUCT_SIZE)
            speeds = work.result()
        engines = Path(name) / "engines"
        on_gpu = _on_gpu(args, bundle, groups[-1], features, engines) if gpu_name() else ()
    return FusedReport(
        bundle=bundle.manifest.name,
        graph_sha256=bundle.manifest.graph.sha256,
        models=", ".join(map(str, args.runs)) or f"untrained, {args.preset} width",
        core=core,
        groups=speeds,
        gpu=gpu_name(),
        gpu_members=speeds[-1].members,
        on_gpu=on_gpu,
        machine=this_machine(1),
    )


def figures_of(report: FusedReport) -> Iterator[Figure]:
    """What runs are compared by."""
    for group in report.groups:
        for graph in group.graphs:
            name = f"{group.title} / {graph.precision}"
            for work, speed in graph.works.items():
                yield speed.time.figure(f"{name} / {work}")
            yield Figure(f"{name} / clip beside the baseline", "x", "lower", graph.clip_by_baseline)
        yield group.baseline.time.figure(f"{group.title} / baseline CRNN / clip")
        yield Figure(f"{group.title} / matrix product", "GFLOP/s", "higher", group.product.gflop_per_s)
    for each in report.on_gpu:
        if each.step is not None and each.clips_per_s is not None:
            yield each.step.figure(f"GPU / {each.way} / {each.precision} / step")
            yield Figure(f"GPU / {each.way} / {each.precision} / clips", "1/s", "higher", each.clips_per_s)


def window_features(bundle: Bundle) -> NDArray[np.float32]:
    """Log-mel of the bundled soundscape, as long as the window of tags, shape (frame, mel)."""
    settings = bundle.manifest.log_mel
    return looped(log_mel(soundscape(settings.sample_rate), settings), 0, bundle.manifest.tag_window_frames)


def time_groups(
    groups: Sequence[Sequence[FusedGraph]],
    baseline_path: Path,
    features: NDArray[np.float32],
    seconds: float,
    product_size: int,
) -> tuple[GroupSpeed, ...]:
    """Time each group of graphs of one ensemble."""
    product, speeds = MatrixProduct(product_size), []
    for graphs in groups:
        progress(f"{graphs[0].title}: {', '.join(graph.precision for graph in graphs)}, {seconds:g} s")
        speeds.append(group_speed(graphs, baseline_path, features, seconds, product))
    return tuple(speeds)


def _pairs(args: BenchFused, bundle: Bundle, n_members: int) -> list[Pair]:
    labels = bundle.manifest.event_labels
    if args.runs:
        return trained_pairs(args.runs, n_members, labels)
    return untrained_pairs(n_members, len(labels), args.preset)


def _graphs(
    args: BenchFused, bundle: Bundle, features: NDArray[np.float32], folder: Path
) -> list[list[FusedGraph]]:
    groups = [bundle_graphs(bundle, args.precisions, folder, features)]
    for n_members in sorted(set(args.members)):
        fused = ensemble(_pairs(args, bundle, n_members))
        groups.append(ensemble_graphs(fused, bundle.manifest, args.precisions, folder, features))
    return groups


def _baseline(args: BenchFused, bundle: Bundle) -> BaselineCRNN:
    n_labels = len(bundle.manifest.event_labels)
    torch.manual_seed(0)
    is_small = args.preset == "small"
    config = BaselineCRNNConfig.small(n_labels) if is_small else BaselineCRNNConfig(n_labels=n_labels)
    return BaselineCRNN(config).eval()


def _on_gpu(
    args: BenchFused,
    bundle: Bundle,
    graphs: Sequence[FusedGraph],
    features: NDArray[np.float32],
    engines: Path,
) -> tuple[GpuSpeed, ...]:
    progress("on the GPU; with TensorRT, engines are compiled first: minutes")
    seconds = args.seconds / 6
    timed = [graph for graph in graphs if graph.precision != "int8"]
    found = list(runtime_speeds(timed, features, seconds, engines))
    if args.members:
        fused = ensemble(_pairs(args, bundle, max(args.members)))
        found += torch_speeds(fused, graphs[0].bundle.manifest, features, seconds, torch.device("cuda"))
    return tuple(found)


def show(report: FusedReport, console: Console) -> None:
    """Print the tables and the lines around them."""
    where = "pinned to one core" if report.core is not None else "NOT pinned to one core (this system cannot)"
    say(console, f"{report.bundle}, and ensembles of models: {report.models}; one thread, {where}")
    for group in report.groups:
        console.print(_speed_table(group))
    console.print(_ratio_table(report))
    say(
        console,
        f"GFLOP: convolutions and matrix products, two operations a multiplication. Product: float32, {PRODUCT_SIZE} "
        "rows, NumPy, by turns with the graphs. Precisions other than float32 are counted by the same arithmetic.",
    )
    console.print(_gpu_table(report))
    for each in report.on_gpu:
        if each.error:
            say(console, f"{each.way}, {each.precision}: not measured: {each.error}")
    say(console, report.machine.text)


def _speed_table(group: GroupSpeed) -> Table:
    title = f"{group.title}: {group.members} members" if group.members > 1 else f"{group.title}: 1 member"
    table = Table(title, "runs", "p50 ms", "p99 ms", "GFLOP", "GFLOP/s", "of the product")
    for graph in group.graphs:
        for name, speed in graph.works.items():
            table.add_row(f"{_work_title(name)}, {graph.precision}", *_cells(speed))
        table.add_section()
    table.add_row("baseline CRNN, the clip", *_cells(group.baseline))
    table.add_row("matrix product", *_cells(group.product))
    return table


def _work_title(name: str) -> str:
    return name if name == CLIP else f"live {name} ({int(name.split()[1]) * FRAME_S:g} s)"


def _cells(speed: Speed) -> tuple[str, ...]:
    times = (str(speed.time.count), f"{speed.time.p50_ms:.2f}", f"{speed.time.p99_ms:.2f}")
    return (*times, f"{speed.gflop:.3f}", f"{speed.gflop_per_s:.1f}", f"{speed.of_product:.0%}")


def _ratio_table(report: FusedReport) -> Table:
    hops = list(report.groups[0].graphs[0].window_by_hop)
    titles = [f"window / {name} (ceiling)" for name in hops]
    table = Table("graph", "precision", "file MB", *titles, "clip / baseline", "clip / float32")
    for group in report.groups:
        first = group.graphs[0]
        for graph in group.graphs:
            ratios = [f"{graph.window_by_hop[hop]:.2f} ({graph.ceiling_by_hop[hop]:.2f})" for hop in hops]
            beside = graph.works[CLIP].time.p50_ms / first.works[CLIP].time.p50_ms
            to_float32 = f"{beside:.2f}" if first.precision == "float32" else "-"
            row = (graph.precision, f"{graph.size_bytes / 1e6:.2f}", *ratios, f"{graph.clip_by_baseline:.1f}")
            table.add_row(group.title, *row, to_float32)
    return table


def _gpu_table(report: FusedReport) -> Table:
    title = "on a GPU" if report.gpu is None else f"{report.gpu}, K = {report.gpu_members}"
    table = Table(title, "precision", "step p50 ms", "step p99 ms", "clips/s", "batch", "x real time")
    if report.gpu is None:
        table.add_row(NO_GPU)
    for each in report.on_gpu:
        if each.step is None or each.clips_per_s is None:
            table.add_row(each.way, each.precision, "not measured")
            continue
        step = (f"{each.step.p50_ms:.2f}", f"{each.step.p99_ms:.2f}")
        clips = (f"{each.clips_per_s:.0f}", str(each.batch), f"{CLIP_S * each.clips_per_s:.0f}")
        table.add_row(each.way, each.precision, *step, *clips)
    return table
