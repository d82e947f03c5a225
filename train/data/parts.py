"""Parts of a bank that share no source: what is held out for development, and the backgrounds of each domain."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from train.data.bank import Recording, SoundBank
from train.data.soundscape import Domain

MIN_GROUPS = 4
"""A label, or a role, with fewer groups has none held out: what is left would be too little to learn from."""


@dataclass(frozen=True)
class HeldOut:
    """A bank in two: recordings to train with, and those of other groups to develop with.

    `shared` names the labels and roles of which no group could be held out: both sides have their recordings.
    """

    training: SoundBank
    development: SoundBank
    shared: tuple[str, ...]


def hold_out(bank: SoundBank, share: float) -> HeldOut:
    """Hold out about `share` of the groups of every label, of the backgrounds and of the distractors.

    At least one where there are four or more, and none where there are fewer; a hash of their names chooses.
    """
    keys = _keys_by_group(bank.recordings)
    n_groups = Counter(key for of_group in keys.values() for key in of_group)
    wanted = {key: _n_wanted(n, share) for key, n in n_groups.items()}
    held: set[str] = set()
    n_held: Counter[str] = Counter()
    for group in _shuffled(keys, "development"):
        if all(n_held[key] < wanted[key] for key in keys[group]):
            held.add(group)
            n_held.update(keys[group])
    shared = tuple(sorted(key for key in n_groups if not n_held[key]))
    training = _only(bank, lambda recording: recording.group not in held)
    development = _only(bank, lambda recording: recording.group in held or key_of(recording) in shared)
    return HeldOut(training, development, shared)


def domain_bank(bank: SoundBank, domain: Domain) -> SoundBank | None:
    """The bank with the backgrounds of one domain: half of their groups (None where there is only one)."""
    groups = _shuffled({recording.group for recording in bank.of_role("background")}, "domain")
    if len(groups) < 2:
        return None
    n_synthetic = (len(groups) + 1) // 2
    kept = set(groups[:n_synthetic] if domain == "synthetic" else groups[n_synthetic:])
    return _only(bank, lambda recording: recording.role != "background" or recording.group in kept)


def key_of(recording: Recording) -> str:
    """What a recording is drawn as: its label, or else its role."""
    return recording.event_label or recording.role


def _n_wanted(n_groups: int, share: float) -> int:
    enough = n_groups >= MIN_GROUPS and share > 0
    return min(max(1, round(share * n_groups)), n_groups - 1) if enough else 0


def _keys_by_group(recordings: Iterable[Recording]) -> dict[str, set[str]]:
    """Labels and roles of each group: one session may hold several."""
    keys: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        keys[recording.group].add(key_of(recording))
    return dict(keys)


def _shuffled(groups: Iterable[str], purpose: str) -> list[str]:
    """Groups in the order of a hash, another one for each purpose."""
    return sorted(groups, key=lambda group: hashlib.sha256(f"{purpose}\n{group}".encode()).hexdigest())


def _only(bank: SoundBank, is_kept: Callable[[Recording], bool]) -> SoundBank:
    return replace(bank, recordings=tuple(filter(is_kept, bank.recordings)))
