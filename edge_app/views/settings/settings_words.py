"""What the settings come to, in words: the delay, the shortest sound that can be an event, and what cannot work."""

from collections.abc import Mapping
from dataclasses import replace

from PyQt6.QtCore import QCoreApplication

from edge_app.core.bundle import BundleManifest
from edge_app.core.decode import LabelDecoding
from edge_app.core.delay import LabelDelay, algorithmic_delay
from edge_app.core.events import FRAME_S
from edge_app.store.settings import AppSettings
from edge_app.views.settings.label_grid import LabelChoice

translate = QCoreApplication.translate
HARDLY_REACHED = 0.95
"""Scores of real sounds seldom come up to this."""


def choice_of(settings: AppSettings, label: str, own: LabelDecoding) -> LabelChoice:
    """What the settings say of a label, given the model's own decoding."""
    kept = settings.label(label)
    return LabelChoice(kept.enabled, kept.decoding(own), kept.save_audio)


def with_choice(settings: AppSettings, label: str, choice: LabelChoice, own: LabelDecoding) -> AppSettings:
    """The settings with another choice for a label; what is as the model has it is not written down."""
    wanted, shown = choice.decoding, _as_shown(own)
    same_thresholds = (wanted.threshold_on, wanted.off) == (shown.threshold_on, shown.off)
    fields = {
        "enabled": choice.enabled,
        "save_audio": choice.save_audio,
        "threshold_on": None if same_thresholds else wanted.threshold_on,
        "threshold_off": None if same_thresholds else wanted.off,
        "median_frames": None if wanted.median_frames == shown.median_frames else wanted.median_frames,
        "min_on_s": None if wanted.min_on_s == shown.min_on_s else wanted.min_on_s,
        "min_off_s": None if wanted.min_off_s == shown.min_off_s else wanted.min_off_s,
    }
    labels = {**settings.labels, label: type(settings.label(label))(**fields)}
    return settings.model_copy(update={"labels": labels})


def with_decoding(
    settings: AppSettings, manifest: BundleManifest, decoding: Mapping[str, LabelDecoding]
) -> AppSettings:
    """The settings with another decoding; labels whose decoding is the one in force stay as they are."""
    in_force = settings.decoding(manifest.decoding)
    for label, wanted in decoding.items():
        if label in in_force and wanted != in_force[label]:
            own = manifest.decoding[label]
            choice = replace(choice_of(settings, label, own), decoding=_as_shown(wanted))
            settings = with_choice(settings, label, choice, own)
    return settings


def delay_sentences(manifest: BundleManifest, settings: AppSettings) -> list[str]:
    """The delay that the settings alone make, computing and sound card aside."""
    hop_frames = settings.hop_frames or manifest.hop_frames.default
    delay = algorithmic_delay(manifest, hop_frames, settings.decoding(manifest.decoding))
    enabled = [one for one in delay.labels if settings.label(one.event_label).enabled]
    if not enabled:
        return []
    slowest = max(enabled, key=lambda one: one.confirmed.most_ms)
    quickest = min(enabled, key=lambda one: one.confirmed.most_ms)
    wait = translate(
        "SettingsWords",
        "The settings alone make a sound wait up to {hop:.2f} s for its step, and {look:.2f} s for what must be heard "
        "after it.",
    ).format(hop=delay.hop_wait.most_ms / 1000, look=(delay.context_ms + delay.features_ms) / 1000)
    if slowest.confirmed == quickest.confirmed and slowest.provisional == quickest.provisional:
        return [wait, _label_sentence(slowest, translate("SettingsWords", "Every label"))]
    return [
        wait,
        *(_label_sentence(one, _name(one.event_label)) for one in dict.fromkeys((quickest, slowest))),
    ]


def warnings(manifest: BundleManifest, settings: AppSettings) -> list[str]:
    """What the user's own choices make that cannot work, or not as it looks; the model's are measured ones."""
    enabled = [label for label in manifest.event_labels if settings.label(label).enabled]
    if not enabled:
        return [translate("SettingsWords", "No label is listened for: nothing will be detected.")]
    decoding = settings.decoding(manifest.decoding)
    changed = [label for label in enabled if decoding[label] != manifest.decoding[label]]
    return [sentence for label in changed for sentence in _label_warnings(label, decoding[label])]


def _label_warnings(label: str, rules: LabelDecoding) -> list[str]:
    found = []
    shortest_s = (rules.median_frames // 2 + 1) * FRAME_S
    if rules.min_on_s < shortest_s and rules.min_on_s > 0:
        text = translate(
            "SettingsWords",
            "{label}: the median filter already drops sounds under {shortest:.2f} s, so the least length of "
            "{least:.2f} s changes nothing.",
        )
        found.append(text.format(label=_name(label), shortest=shortest_s, least=rules.min_on_s))
    if rules.threshold_on >= HARDLY_REACHED:
        text = translate("SettingsWords", "{label}: a threshold of {threshold:.2f} is hardly ever reached.")
        found.append(text.format(label=_name(label), threshold=rules.threshold_on))
    if rules.off == rules.threshold_on:
        text = translate(
            "SettingsWords", "{label}: it ends where it begins, so one sound may fall into many events."
        )
        found.append(text.format(label=_name(label)))
    return found


def _label_sentence(delay: LabelDelay, name: str) -> str:
    text = translate(
        "SettingsWords",
        "{label}: marked at most {provisional:.2f} s after it begins, confirmed at most {confirmed:.2f} s after "
        "({mean:.2f} s in the mean).",
    )
    return text.format(
        label=name,
        provisional=delay.provisional.most_ms / 1000,
        confirmed=delay.confirmed.most_ms / 1000,
        mean=delay.confirmed.mean_ms / 1000,
    )


def _as_shown(own: LabelDecoding) -> LabelDecoding:
    """The model's own decoding with the two decimals that the controls have."""
    return LabelDecoding(
        threshold_on=round(own.threshold_on, 2),
        threshold_off=max(0.01, round(own.off, 2)),
        median_frames=own.median_frames,
        min_on_s=round(own.min_on_s, 2),
        min_off_s=round(own.min_off_s, 2),
    )


def _name(label: str) -> str:
    return label.replace("_", " ")
