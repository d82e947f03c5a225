"""The same systems measured in other ways: thresholds, filters, gates, tags and sets other than those of the tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from train.report.blocks import Block, Fold, Missing, Section, TableBlock
from train.report.rows import FIGURES, HEADLINE, Row, row_of
from train.report.tables import Table, rows_table, table_of

_FURTHER = {
    "psds1_50": "PSDS 1, 50 thresholds",
    "psds2_50": "PSDS 2, 50 thresholds",
    "segment_f1_micro": "Segment F1, micro",
    "clip_f1_micro": "Clip F1, micro",
}
_GATES = {"none": "No gate", "half": "Tags from 0.5", "threshold": "Tags from the threshold"}
_TAGS = {"live_tags": "Tags pooled over the past alone, as live", "true_tags": "The true tags"}
_HEADS = [FIGURES[figure] for figure in HEADLINE]


def decoding_section(rows: Sequence[Row]) -> Section:
    """The same scores under other thresholds, filters, gates and tags, and on further sets."""
    tables = [*decoding_tables(rows), *set_tables(rows)]
    blocks: list[Block] = [TableBlock(table) for table in tables]
    if not tables:
        blocks.append(Missing("No file of figures has other ways of measuring than the tuned one."))
    settings = _settings(row_of(rows, "ensemble/result1"))
    if settings:
        blocks.append(Fold("Tuned thresholds and filters of Result 1", settings))
    return Section("decoding", "Other ways of measuring", blocks)


def decoding_tables(rows: Sequence[Row]) -> list[Table]:
    """Figures with other thresholds, filters, gates and tags than the tuned ones, of the systems that have them."""
    systems = [row for row in rows if row.group != "ablation"]
    gates = [("gates", gate, figure) for figure in ("psds1", "psds2") for gate in _GATES]
    gate_groups = [("", 1), ("PSDS 1", len(_GATES)), ("PSDS 2", len(_GATES))]
    tags = [(key, figure) for key in _TAGS for figure in HEADLINE]
    tag_groups = [("", 1), *((title, len(HEADLINE)) for title in _TAGS.values())]
    return _those_measured(
        table_of(
            systems,
            "PSDS at the 50 thresholds that the published figures use, and means over events rather than labels",
            list(_FURTHER.values()),
            [(name,) for name in _FURTHER],
        ),
        table_of(
            systems,
            "Nothing tuned: median filters of a third of the mean duration in training, threshold 0.5",
            _HEADS,
            [("fixed_rule", figure) for figure in HEADLINE],
        ),
        table_of(systems, "Scores gated by tags", [*_GATES.values()] * 2, gates, gate_groups),
        table_of(
            systems, "With other tags than those of the whole clip", _HEADS * len(_TAGS), tags, tag_groups
        ),
    )


def set_tables(rows: Sequence[Row]) -> list[Table]:
    """Figures on the sets that are reported on besides the main one."""
    systems = [row for row in rows if row.group != "ablation"]
    also = [figures.get("also") or {} for row in systems for figures in row.by_seed.values()]
    names = list(dict.fromkeys(name for of_row in also for name in of_row))
    return _those_measured(
        *(
            table_of(
                systems, f"Figures on the set {name}", _HEADS, [("also", name, figure) for figure in HEADLINE]
            )
            for name in names
        )
    )


def _those_measured(*tables: Table | None) -> list[Table]:
    return [table for table in tables if table is not None]


def _settings(result: Row) -> list[Block]:
    decodings: Mapping[str, Any] = next(iter(result.by_seed.values()), {}).get("decodings") or {}
    return [
        TableBlock(rows_table(f"Decoding of Result 1, tuned on: {name}", of_labels))
        for name, of_labels in decodings.items()
    ]
