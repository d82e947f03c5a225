"""`sedge mix-soundscapes`: annotated training clips from a bank of recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from edge_app.core.errors import EXIT_DONE, SedgeError
from train.data.mixes import mix_folder
from train.data.plans import SetPlan, mix_sets
from train.data.soundscape import Domain, MixSettings, domain_settings
from train.settings import checked


@dataclass(frozen=True)
class MixSoundscapes:
    """Arguments of `sedge mix-soundscapes`."""

    bank: tyro.conf.Positional[Path]
    """Sound bank: a folder with foreground/<label>/, background/ and, where it has them, distractors/, SOURCES.tsv."""
    out: Path
    """Where to write audio/<split>/synthetic/ and metadata/<split>/synthetic.tsv. What is there already is kept."""
    clips: int = 1000
    """Clips of 10 s to have in the end."""
    split: Literal["train", "validation"] = "train"
    """Which of the bank's recordings to mix; no source recording is in both."""
    seed: int = 1
    """Seed of every choice. A clip depends on the seed and its own number only."""
    workers: int = 2
    """Processes to mix with; the result does not depend on it."""
    domain: Domain | None = None
    """Acoustic domain: plain mixes, or rooms, narrower bands and lower SNRs; each with half of the backgrounds.
    Left out: plain mixes with all backgrounds."""
    sets: tuple[str, ...] = ()
    """Instead of one set, the sets of a training run and their clips: synthetic=1000 weak=200 unlabelled=1000
    development=200 validation=200. Weak and unlabelled clips are of the real domain."""
    hold_out: float = 0.15
    """With --sets: share of the recordings that only the development set has."""


def main(argv: Sequence[str]) -> int:
    """`sedge mix-soundscapes`; returns 0, or raises SedgeError."""
    description = (
        "Mix 10 s soundscapes, their events exactly known, from a bank of recordings. Run it again to resume."
    )
    args = tyro.cli(MixSoundscapes, args=list(argv), prog="sedge mix-soundscapes", description=description)
    console = Console()
    if args.sets:
        mix_sets(args.bank, args.out, read_plan(args.sets, args.seed), args.hold_out, args.workers)
        console.print(f"{', '.join(args.sets)}: {args.out}", soft_wrap=True, highlight=False)
        return EXIT_DONE
    seed = checked(MixSettings, seed=args.seed).seed
    settings = domain_settings(args.domain or "synthetic").model_copy(update={"seed": seed})
    mixes = mix_folder(args.bank, args.out, args.clips, args.split, settings, args.workers, args.domain)
    console.print(f"{args.clips} clips: {mixes.audio}, {mixes.strong}", soft_wrap=True, highlight=False)
    return EXIT_DONE


def read_plan(sets: Sequence[str], seed: int) -> dict[str, SetPlan]:
    """Plans of sets that are given as NAME=CLIPS. Raises SedgeError for another form."""
    plan: dict[str, SetPlan] = {}
    for given in sets:
        name, _, clips = given.partition("=")
        if not clips.isdecimal() or name in plan:
            raise SedgeError(f"--sets: expected NAME=CLIPS, each set once, found {given!r}")
        domain: Domain = "real" if name in ("weak", "unlabelled") else "synthetic"
        plan[name] = checked(SetPlan, clips=int(clips), domain=domain, seed=seed)
    return plan
