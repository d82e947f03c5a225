"""A folder of mixed soundscapes in the DESED layout, made by several processes and resumable.

A journal beside the tables has a line per finished clip (events and recordings), so that after a kill
only what is missing is mixed, and nothing has to be mixed again to know its events.
"""

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile
from rich.progress import track

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import write_durations, write_events
from edge_app.formats.whole_file import whole_file, write_whole
from train.data.bank import SAMPLE_RATE, SoundBank, read_bank
from train.data.desed import DesedSet
from train.data.soundscape import MixSettings, clip_rng, mix_clip

_worker: dict[str, "_Job"] = {}


@dataclass(frozen=True)
class _Job:
    bank: SoundBank
    settings: MixSettings
    audio: Path


def clip_filename(index: int) -> str:
    """File name of a clip by its index."""
    return f"{index:05d}.flac"


def mix_folder(
    bank_folder: Path, out: Path, n_clips: int, split: str, settings: MixSettings, workers: int = 1
) -> DesedSet:
    """Mix clips 0 ... n_clips - 1 of a split into `out`; clips that are already there whole are kept.

    Raises SedgeError where the bank is unfit, `out` cannot be written, or it holds clips mixed otherwise.
    """
    if n_clips < 1 or workers < 1:
        raise SedgeError(f"clips and workers: expected 1 or more, found {n_clips} and {workers}")
    bank = read_bank(bank_folder, split)
    mixes = DesedSet.named(out, split)
    try:
        done = _mix_missing(_Job(bank, settings, mixes.audio), mixes, n_clips, split, workers)
    except OSError as error:
        found = error.strerror or error
        raise SedgeError(f"{out}: expected a folder that can be written, found: {found}") from error
    _write_tables(mixes, done, n_clips, settings.clip_s)
    return mixes


def _mix_missing(
    job: _Job, mixes: DesedSet, n_clips: int, split: str, workers: int
) -> dict[str, dict[str, Any]]:
    """Lines of the journal by file name, after the clips that it lacks were mixed."""
    journal = mixes.strong.with_name("synthetic_mix.jsonl")
    for folder in (mixes.audio, journal.parent):
        folder.mkdir(parents=True, exist_ok=True)
    settings = job.settings.model_dump(mode="json")
    done = _open_journal(
        journal, {"bank": bank_fingerprint(job.bank), "split": split, "settings": settings}, mixes.audio
    )
    missing = [index for index in range(n_clips) if clip_filename(index) not in done]
    with journal.open("a", encoding="utf-8") as file:
        for line in track(_mix_all(job, missing, workers), "mixing", len(missing)):
            done[line["filename"]] = line
            file.write(json.dumps(line) + "\n")
            file.flush()
    return done


def bank_fingerprint(bank: SoundBank) -> str:
    """Hash of the names, groups and sizes of a bank's recordings; it does not depend on where the bank lies."""
    rows = sorted(f"{r.name}\t{r.group}\t{r.path.stat().st_size}" for r in bank.recordings)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _open_journal(journal: Path, header: dict[str, Any], audio: Path) -> dict[str, dict[str, Any]]:
    """Finished clips by file name; the journal is rewritten with what is whole, or begun."""
    done: dict[str, dict[str, Any]] = {}
    if journal.is_file():
        first, *lines = journal.read_text(encoding="utf-8").splitlines() or ["{}"]
        if _whole_line(first) != json.loads(json.dumps(header)):
            raise SedgeError(
                f"{journal}: expected the bank, split and settings of now, found others; change --out"
            )
        for line in lines:
            entry = _whole_line(line)
            if entry and (audio / entry["filename"]).is_file():
                done[entry["filename"]] = entry
    write_whole(journal, "".join(json.dumps(line) + "\n" for line in (header, *done.values())))
    return done


def _whole_line(line: str) -> dict[str, Any] | None:
    """A line of the journal; None where a kill cut it short."""
    try:
        entry: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry


def _mix_all(job: _Job, indices: list[int], workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1 or len(indices) < 2:
        _start_worker(job)
        yield from map(_mix_one, indices)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_process, (job,)) as pool:
        yield from pool.imap_unordered(_mix_one, indices, chunksize=4)


def _start_process(job: _Job) -> None:
    # Ctrl-C reaches all processes; the first one ends the others, and they have nothing to say about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start_worker(job)


def _start_worker(job: _Job) -> None:
    _worker["job"] = job


def _mix_one(index: int) -> dict[str, Any]:
    job = _worker["job"]
    soundscape = mix_clip(job.bank, job.settings, clip_rng(job.settings.seed, index))
    path = job.audio / clip_filename(index)
    with whole_file(path) as file:
        soundfile.write(file, soundscape.waveform, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    events = [asdict(event) for event in soundscape.events]
    return {"filename": path.name, "events": events, "recordings": soundscape.recordings}


def _write_tables(mixes: DesedSet, done: dict[str, dict[str, Any]], n_clips: int, clip_s: float) -> None:
    filenames = [clip_filename(index) for index in range(n_clips)]
    events = {name: [Event(**event) for event in done[name]["events"]] for name in filenames}
    write_events(mixes.strong, events)
    write_durations(mixes.durations, dict.fromkeys(filenames, clip_s))
