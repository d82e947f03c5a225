"""Three ways to set all thresholds at once, against the model's own: fewer events, as it comes, more events."""

from typing import Literal, get_args

from PyQt6.QtCore import QCoreApplication

from edge_app.core.bundle import BundleManifest
from edge_app.core.decode import LabelDecoding
from edge_app.store.settings import AppSettings

translate = QCoreApplication.translate
Preset = Literal["quiet", "balanced", "sensitive", "own"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
"""In the order of a menu; `own` is any other choice of thresholds."""
SHIFTS: dict[Preset, float] = {"quiet": 0.1, "balanced": 0.0, "sensitive": -0.1}
LOWEST, HIGHEST = 0.05, 0.95
"""No preset moves a threshold beyond these: below, noise is an event, and above, nothing is."""
LEAST, MOST = 0.01, 0.99  # that the controls can hold
DECIMALS = 2  # as many as the controls have


def preset_words(preset: Preset) -> tuple[str, str]:
    """Its name, and what it does."""
    return {
        "quiet": (translate("Presets", "Quiet"), translate("Presets", "Fewer events, the surest ones")),
        "balanced": (translate("Presets", "Balanced"), translate("Presets", "The model's own thresholds")),
        "sensitive": (
            translate("Presets", "Sensitive"),
            translate("Presets", "More events, more of them wrong"),
        ),
        "own": (translate("Presets", "Own"), translate("Presets", "Thresholds set by hand, label by label")),
    }[preset]


def with_preset(settings: AppSettings, manifest: BundleManifest, preset: Preset) -> AppSettings:
    """The settings with the thresholds of a preset; all else stays as it is, and so does everything for `own`."""
    if preset == "own":
        return settings
    labels = dict(settings.labels)
    for label, shipped in manifest.decoding.items():
        on, off = (None, None) if preset == "balanced" else _thresholds(shipped, preset)
        labels[label] = settings.label(label).model_copy(update={"threshold_on": on, "threshold_off": off})
    return settings.model_copy(update={"labels": labels})


def preset_of(settings: AppSettings, manifest: BundleManifest) -> Preset:
    """The preset that the thresholds are those of, whatever medians and lengths are."""
    in_force = settings.decoding(manifest.decoding)
    found = {label: _rounded(one.threshold_on, one.off) for label, one in in_force.items()}
    for preset in SHIFTS:
        if found == {label: _thresholds(one, preset) for label, one in manifest.decoding.items()}:
            return preset
    return "own"


def _thresholds(shipped: LabelDecoding, preset: Preset) -> tuple[float, float]:
    """Both thresholds of a label; the second keeps its distance from the first."""
    on, shift = shipped.threshold_on, SHIFTS[preset]
    # A threshold of the model's own that lies beyond the limits is not moved the other way.
    wanted = min(on + shift, max(on, HIGHEST)) if shift > 0 else max(on + shift, min(on, LOWEST))
    return _rounded(wanted, shipped.off + wanted - on)


def _rounded(on: float, off: float) -> tuple[float, float]:
    on = min(max(round(on, DECIMALS), LEAST), MOST)
    return on, max(min(on, round(off, DECIMALS)), LEAST)
