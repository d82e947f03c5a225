"""The sets of a training run, mixed from one bank: which clips, of which acoustic domain, from which recordings.

The true events of the weak and unlabelled sets are kept in metadata/train/<set>_truth.tsv. They are there to
measure pseudo labels with; nothing is ever trained on them.
"""

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_app.core.errors import SedgeError
from train.data.bank import SoundBank, read_bank
from train.data.desed import SPLITS, DesedSet
from train.data.mixes import MixJob, mix_jobs, with_backgrounds_of
from train.data.parts import HeldOut, hold_out
from train.data.soundscape import Domain, MixSettings, domain_settings
from train.data.tables import notice

MIXED_SETS = ("synthetic", "weak", "unlabelled", "development", "validation")
"""Sets that can be mixed: training and development from a bank's train split, validation from its own."""


class SetPlan(BaseModel):
    """How one set is mixed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: int = Field(ge=1)
    """Clips of the set."""
    domain: Domain = "synthetic"
    """Acoustic domain: "synthetic" for plain mixes, "real" for rooms, bands, lower SNRs and other backgrounds."""
    seed: int = Field(default=1, ge=0)
    """Seed of every choice; sets of one seed differ all the same."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Settings of the mix (MixSettings) that replace the domain's own."""

    @model_validator(mode="after")
    def _check(self) -> "SetPlan":
        known = set(MixSettings.model_fields) - {"seed"}
        for name in self.overrides:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, 1, 0) or sorted(known)
                raise ValueError(
                    f"overrides: found an unknown setting {name!r}; the nearest is {nearest[0]!r}"
                )
        try:
            self.settings("")
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("overrides", *first["loc"])))
            raise ValueError(f"{place}: {first['msg']}, found {first['input']!r}") from error
        return self

    def settings(self, name: str) -> MixSettings:
        """How the clips of the set `name` are mixed, with a seed of its own."""
        digest = hashlib.sha256(f"{name}\n{self.seed}".encode()).hexdigest()
        chosen = {**domain_settings(self.domain).model_dump(), **self.overrides, "seed": int(digest[:8], 16)}
        return MixSettings(**chosen)


def mix_sets(
    bank_folder: Path, out: Path, plan: Mapping[str, SetPlan], hold_out_share: float = 0.15, workers: int = 1
) -> None:
    """Mix the planned sets (some of `MIXED_SETS`) into `out` in the DESED layout; what is there already is kept.

    The "development" set has groups of recordings of the bank's train split that no training set has: about
    `hold_out_share` of them (none are held out where that set is not planned). The two domains have different
    backgrounds. Where a bank is too small for either, a notice on stderr says so.
    Raises SedgeError where the bank, the plan or `out` is unfit.
    """
    if not plan or not 0 <= hold_out_share < 1:
        raise SedgeError(
            f"sets to mix: expected one or more and a hold_out from 0 to under 1, found {list(plan)} and "
            f"{hold_out_share}"
        )
    for name in plan:
        if name not in MIXED_SETS:
            raise SedgeError(f"sets to mix: expected some of {', '.join(MIXED_SETS)}, found {name!r}")
    held = hold_out(read_bank(bank_folder, "train"), hold_out_share if "development" in plan else 0.0)
    if "development" in plan and held.shared:
        notice(
            f"{bank_folder}: the development clips have training recordings of {', '.join(held.shared)}: "
            f"too few groups to hold one out, or a hold_out of 0"
        )
    mix_jobs(
        {name: _job(name, set_plan, bank_folder, held, out) for name, set_plan in plan.items()}, out, workers
    )


def _job(name: str, plan: SetPlan, bank_folder: Path, held: HeldOut, out: Path) -> MixJob:
    clips = DesedSet.named(out, SPLITS[name], name)
    bank, split = _recordings(name, plan.domain, bank_folder, held)
    return MixJob(bank, plan.settings(name), clips, plan.clips, split)


def _recordings(name: str, domain: Domain, bank_folder: Path, held: HeldOut) -> tuple[SoundBank, str]:
    """The recordings of a set and the split of the bank that they are from."""
    if name == "validation":
        return read_bank(bank_folder, "validation"), "validation"
    if name != "development":
        return with_backgrounds_of(held.training, domain), "train"
    # backgrounds that were held out are few, and new to either domain
    is_shared = "background" in held.shared
    return with_backgrounds_of(held.development, domain) if is_shared else held.development, "train"
