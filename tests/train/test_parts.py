"""Parts of a bank: no source is on both sides of what is held out, nor a background in both domains."""

from collections import defaultdict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from train.data.bank import Recording, Role, SoundBank, read_bank
from train.data.parts import MIN_GROUPS, domain_bank, hold_out, key_of

BANK = Path(__file__).parents[1] / "data" / "bank"
KEYS = ("Cat", "Dog", "background", "distractor")


def made_bank(rows: list[tuple[str, int]]) -> SoundBank:
    """A bank of recordings of (label or role, number of their group)."""
    recordings = []
    for index, (key, group) in enumerate(rows):
        roles: dict[str, Role] = {"background": "background", "distractor": "distractor"}
        role, label = roles.get(key, "foreground"), None if key in roles else key
        path = Path(f"{key}/{index}.flac")
        recordings.append(Recording(path, role, label, f"g{group}", "train", name=path.as_posix()))
    return SoundBank(Path("bank"), tuple(recordings), ("Cat", "Dog"))


def groups_by_key(bank: SoundBank) -> dict[str, set[str]]:
    groups = defaultdict(set)
    for recording in bank.recordings:
        groups[key_of(recording)].add(recording.group)
    return groups


BANKS = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 40)), min_size=1, max_size=60).map(made_bank)
SHARES = st.floats(0, 0.9)


@given(BANKS, SHARES)
def test_no_group_is_on_both_sides(bank: SoundBank, share: float):
    held = hold_out(bank, share)
    apart = {r.group for r in held.development.recordings if key_of(r) not in held.shared}
    assert not apart & {r.group for r in held.training.recordings}
    # what is on both sides is of a label or role that is named as such
    both = set(held.training.recordings) & set(held.development.recordings)
    assert {key_of(recording) for recording in both} <= set(held.shared)
    assert set(held.training.recordings) | set(held.development.recordings) == set(bank.recordings)


@given(BANKS, SHARES)
def test_each_side_has_every_label_and_role(bank: SoundBank, share: float):
    held, all_groups = hold_out(bank, share), groups_by_key(bank)
    training, development = groups_by_key(held.training), groups_by_key(held.development)
    assert set(training) == set(development) == set(all_groups)
    for key, groups in all_groups.items():
        if len(groups) < MIN_GROUPS or not share:
            assert key in held.shared


@given(st.lists(st.integers(1, 30), min_size=4, max_size=4), st.floats(0.01, 0.6))
def test_the_share_held_out_is_the_one_asked_for(sizes: list[int], share: float):
    rows = [(key, 100 * place + n) for place, key in enumerate(KEYS) for n in range(sizes[place])]
    held = groups_by_key(hold_out(made_bank(rows), share).training)
    for key, size in zip(KEYS, sizes, strict=True):
        wanted = min(max(1, round(share * size)), size - 1) if size >= MIN_GROUPS else 0
        assert len(held[key]) == size - wanted


@given(BANKS, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_a_bank_does_not_matter(bank: SoundBank, share: float, random):
    shuffled = list(bank.recordings)
    random.shuffle(shuffled)
    other = SoundBank(bank.folder, tuple(shuffled), bank.event_labels)
    assert set(hold_out(bank, share).training.recordings) == set(hold_out(other, share).training.recordings)
    assert hold_out(bank, share).shared == hold_out(other, share).shared


@given(BANKS)
def test_no_background_is_in_both_domains(bank: SoundBank):
    synthetic, real = domain_bank(bank, "synthetic"), domain_bank(bank, "real")
    groups = {recording.group for recording in bank.of_role("background")}
    if len(groups) < 2:
        assert synthetic is real is None
        return
    assert synthetic
    assert real
    of_synthetic, of_real = (
        {recording.group for recording in part.of_role("background")} for part in (synthetic, real)
    )
    assert not of_synthetic & of_real
    assert of_synthetic | of_real == groups
    assert 0 <= len(of_synthetic) - len(of_real) <= 1
    for part in (synthetic, real):
        assert part.of_role("foreground") == bank.of_role("foreground")
        assert part.of_role("distractor") == bank.of_role("distractor")


def test_a_real_bank_is_held_out_by_source():
    bank = read_bank(BANK, "train")
    held = hold_out(bank, 0.25)
    assert held.shared == ("Alarm_bell_ringing", "Blender", "Dishes", "Speech", "background", "distractor")
    (dog,) = {r.group for r in held.development.recordings if r.event_label == "Dog"}
    assert dog not in {r.group for r in held.training.recordings}
    assert hold_out(bank, 0.0).training == bank
    assert hold_out(bank, 0.0).development == bank
