"""What is known of a session when it begins, and the settings of its decoder as the store keeps them."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_app import __version__
from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.store.records import SessionFacts
from edge_app.store.schema import StoreError
from edge_app.stream.analysis import Decoding, shipped_decoding
from edge_app.stream.microphone import MicrophoneSource
from edge_app.stream.sources import FileSource, Source


def session_facts(
    source: Source,
    detector: Detector,
    decoding: Mapping[str, LabelDecoding] | None = None,
    enabled: Collection[str] | None = None,
) -> SessionFacts:
    """What is known of a session that begins now, decoded by `decoding` where that differs from the model's own.

    Raises SedgeError for a label that the model does not have.
    """
    manifest = detector.bundle.manifest
    in_force = shipped_decoding(detector).changed(decoding or {}, enabled)
    settings = {"hop_frames": detector.hop_frames, **decoding_fields(in_force), **_recording_fields(source)}
    return SessionFacts(
        started_at=datetime.now(UTC),
        source=source.name,
        device=source.name if isinstance(source, MicrophoneSource) else "",
        sample_rate=manifest.log_mel.sample_rate,
        model_sha256=manifest.graph.sha256,
        model_name=manifest.name,
        runtime=detector.runtime_text,
        app_version=__version__,
        settings_json=json.dumps(settings),
    )


def decoding_fields(decoding: Decoding) -> dict[str, Any]:
    """Settings of the decoder as JSON: `decoding` of every label, and the labels that are `enabled`."""
    labels = {label: one.model_dump() for label, one in decoding.labels.items()}
    return {"decoding": labels, "enabled": sorted(decoding.enabled)}


def read_decoding(settings_json: str, shipped: Decoding) -> Decoding:
    """The settings of the decoder that a text holds; what it does not hold is as shipped.

    Raises StoreError for a text that `decoding_fields` does not make.
    """
    try:
        settings = json.loads(settings_json)
        found = {label: LabelDecoding(**one) for label, one in settings.get("decoding", {}).items()}
    except (ValueError, TypeError, AttributeError, ValidationError) as error:
        raise StoreError(f"settings of the decoder: expected those of each label, found {error}") from error
    return shipped.changed(found, settings.get("enabled"))


def read_hop_frames(settings_json: str) -> int:
    """The hop of a session in frames. Raises StoreError where its settings do not say it."""
    try:
        return int(json.loads(settings_json)["hop_frames"])
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"settings of the session: expected hop_frames, found {settings_json!r}") from error


def _recording_fields(source: Source) -> dict[str, Any]:
    """Where a recording that is listened to lies, to replay the session; nothing for other sources."""
    if not isinstance(source, FileSource):
        return {}
    path = Path(source.name).absolute()
    with suppress(OSError):  # it may be a pipe, or gone by now
        return {"file": str(path), "file_bytes": path.stat().st_size}
    return {}
