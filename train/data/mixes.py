"""Folders of mixed soundscapes in the DESED layout, made by several processes and resumable.

A journal beside each set's tables has a line per finished clip (events and recordings), so that after a
kill only what is missing is mixed, and nothing has to be mixed again to know its events.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
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
from train.data.parts import domain_bank
from train.data.soundscape import Domain, MixSettings, clip_rng, mix_clip
from train.data.tables import notice, write_filenames, write_tags

Line = dict[str, Any]
_worker: dict[str, "Mapping[str, MixJob]"] = {}


@dataclass(frozen=True)
class MixJob:
    """One set to mix: clips 0 ... n_clips - 1 of it, from the recordings of one split of a bank."""

    bank: SoundBank
    settings: MixSettings
    clips: DesedSet
    n_clips: int
    split: str

    @property
    def journal(self) -> Path:
        """Where finished clips are noted."""
        return self.clips.table.with_name(f"{self.clips.table.stem}_mix.jsonl")


def clip_filename(index: int) -> str:
    """File name of a clip by its index."""
    return f"{index:05d}.flac"


def mix_folder(
    bank_folder: Path,
    out: Path,
    n_clips: int,
    split: str,
    settings: MixSettings,
    workers: int = 1,
    domain: Domain | None = None,
) -> DesedSet:
    """Mix clips 0 ... n_clips - 1 of a split into `out`; clips that are already there whole are kept.

    With a `domain`, only its own backgrounds are used. Raises SedgeError where the bank is unfit, `out` cannot
    be written, or it holds clips mixed otherwise.
    """
    bank = read_bank(bank_folder, split)
    if domain is not None:
        bank = with_backgrounds_of(bank, domain)
    mixes = DesedSet.named(out, split)
    mix_jobs({mixes.table.stem: MixJob(bank, settings, mixes, n_clips, split)}, out, workers)
    return mixes


def with_backgrounds_of(bank: SoundBank, domain: Domain) -> SoundBank:
    """The bank with one domain's backgrounds; all of it, and a notice on stderr, where they cannot be parted."""
    of_domain = domain_bank(bank, domain)
    if of_domain is None:
        notice(f"{bank.folder}: one group of backgrounds cannot be parted: both acoustic domains have it")
    return of_domain or bank


def mix_jobs(jobs: Mapping[str, MixJob], out: Path, workers: int) -> None:
    """Mix what the sets lack, then write their tables. `out` is the folder that messages name.

    Raises SedgeError where it cannot be written, or holds clips mixed otherwise.
    """
    for job in jobs.values():
        if job.n_clips < 1 or workers < 1:
            raise SedgeError(f"clips and workers: expected 1 or more, found {job.n_clips} and {workers}")
    try:
        done = {name: _prepare(job) for name, job in jobs.items()}
        _mix_missing(jobs, done, workers)
    except OSError as error:
        found = error.strerror or error
        raise SedgeError(f"{out}: expected a folder that can be written, found: {found}") from error
    for name, job in jobs.items():
        _write_tables(job, done[name])


def _prepare(job: MixJob) -> dict[str, Line]:
    """Lines of the journal by file name, of clips that are there."""
    for folder in (job.clips.audio, job.journal.parent):
        folder.mkdir(parents=True, exist_ok=True)
    settings = job.settings.model_dump(mode="json")
    header = {"bank": bank_fingerprint(job.bank), "split": job.split, "settings": settings}
    return _open_journal(job.journal, header, job.clips.audio)


def _mix_missing(jobs: Mapping[str, MixJob], done: Mapping[str, dict[str, Line]], workers: int) -> None:
    """Mix the clips that the journals lack, and add them there."""
    missing = [
        (name, index)
        for name, job in jobs.items()
        for index in range(job.n_clips)
        if clip_filename(index) not in done[name]
    ]
    with ExitStack() as stack:
        journals = {
            name: stack.enter_context(job.journal.open("a", encoding="utf-8")) for name, job in jobs.items()
        }
        for name, line in track(_mix_all(jobs, missing, workers), "mixing", len(missing)):
            done[name][line["filename"]] = line
            journals[name].write(json.dumps(line) + "\n")
            journals[name].flush()


def bank_fingerprint(bank: SoundBank) -> str:
    """Hash of the names, groups and sizes of a bank's recordings; it does not depend on where the bank lies."""
    rows = sorted(f"{r.name}\t{r.group}\t{r.path.stat().st_size}" for r in bank.recordings)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _open_journal(journal: Path, header: Line, audio: Path) -> dict[str, Line]:
    """Finished clips by file name; the journal is rewritten with what is whole, or begun."""
    done: dict[str, Line] = {}
    if journal.is_file():
        first, *lines = journal.read_text(encoding="utf-8").splitlines() or ["{}"]
        if _with_defaults(_whole_line(first) or {}) != json.loads(json.dumps(header)):
            raise SedgeError(
                f"{journal}: expected the bank, split and settings of now, found others; change --out"
            )
        for line in lines:
            entry = _whole_line(line)
            if entry and (audio / entry["filename"]).is_file():
                done[entry["filename"]] = entry
    write_whole(journal, "".join(json.dumps(line) + "\n" for line in (header, *done.values())))
    return done


def _with_defaults(header: Line) -> Line:
    """A journal's first line as now written: settings that are newer than it had no effect then."""
    defaults = MixSettings().model_dump(mode="json")
    return {**header, "settings": {**defaults, **header.get("settings", {})}}


def _whole_line(line: str) -> Line | None:
    """A line of the journal; None where a kill cut it short."""
    try:
        entry: Line = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry


def _mix_all(
    jobs: Mapping[str, MixJob], missing: list[tuple[str, int]], workers: int
) -> Iterator[tuple[str, Line]]:
    if workers == 1 or len(missing) < 2:
        _start_worker(jobs)
        yield from map(_mix_one, missing)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_process, (jobs,)) as pool:
        yield from pool.imap_unordered(_mix_one, missing, chunksize=4)


def _start_process(jobs: Mapping[str, MixJob]) -> None:
    # Ctrl-C reaches all processes; the first one ends the others, and they have nothing to say about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _start_worker(jobs)


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: nobody would take its clips."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_worker(jobs: Mapping[str, MixJob]) -> None:
    _worker["jobs"] = jobs


def _mix_one(clip: tuple[str, int]) -> tuple[str, Line]:
    name, index = clip
    job = _worker["jobs"][name]
    soundscape = mix_clip(job.bank, job.settings, clip_rng(job.settings.seed, index))
    path = job.clips.audio / clip_filename(index)
    with whole_file(path) as file:
        soundfile.write(file, soundscape.waveform, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    events = [asdict(event) for event in soundscape.events]
    return name, {"filename": path.name, "events": events, "recordings": soundscape.recordings}


def _write_tables(job: MixJob, done: Mapping[str, Line]) -> None:
    """The table of the set's kind and its durations; the true events of clips that hide them, in a table apart."""
    filenames = [clip_filename(index) for index in range(job.n_clips)]
    events = {name: [Event(**event) for event in done[name]["events"]] for name in filenames}
    table = job.clips.table
    if job.clips.kind == "strong":
        write_events(table, events)
    elif job.clips.kind == "weak":
        write_tags(table, {name: {event.event_label for event in events[name]} for name in filenames})
    else:
        write_filenames(table, filenames)
    if job.clips.kind != "strong":
        write_events(table.with_name(f"{table.stem}_truth.tsv"), events)
    write_durations(job.clips.durations, dict.fromkeys(filenames, job.settings.clip_s))
