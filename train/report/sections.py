"""The sections made of tables: each from the figures it needs, or from the sentence that says which are missing."""

from collections.abc import Sequence
from pathlib import Path

from train.report.ablation import ablation_table, unhelpful_sentences
from train.report.blocks import Block, Missing, Section, TableBlock, Text
from train.report.folder import RANKING, read_figures
from train.report.rows import SINGLE, Row, row_of
from train.report.tables import (
    composition_table,
    ensemble_table,
    label_tables,
    published_table,
    ranking_table,
    single_table,
)


def published_section(rows: Sequence[Row], set_name: str) -> Section:
    """The published table beside this run's."""
    blocks: list[Block] = [TableBlock(published_table(rows, set_name))]
    blocks.append(Text(thresholds_sentence(rows)))
    blocks.extend(Text(f"Selection: {sentence}.") for sentence in _told(rows, "selection"))
    blocks.append(
        Text(
            "The published figures are on the validation set of DESED. Unless this run reports on the same clips, the "
            "columns do not compare with each other: the gains over the baseline do, within limits. Published PSDS are "
            "of 50 thresholds; those of this run are exact, over all thresholds. Those of 50 stand under Other ways of "
            "measuring."
        )
    )
    missing = [row.name for row in rows if row.group == "result" and not row.by_seed]
    missing += [row_of(rows, "baseline").name] * (not row_of(rows, "baseline").by_seed)
    if missing:
        blocks.append(Missing(f"This run has no figures of: {', '.join(missing)}."))
    return Section("table-1", "Table 1", blocks)


def thresholds_sentence(rows: Sequence[Row]) -> str:
    """How the thresholds of this run were chosen, as its figures say."""
    told = _told(rows, "tuned_on")
    if not told:
        return "How the thresholds of this run were tuned is not recorded in its figures."
    return f"Thresholds and filters of this run: {'; '.join(told)}."


def systems_section(rows: Sequence[Row], run: Path) -> Section:
    """Single systems over seeds, how they were ranked, and every figure of the ensembles."""
    section = Section("systems", "Single systems and ensembles", [TableBlock(single_table(rows))])
    missing = [row.name for row in (row_of(rows, key) for key in SINGLE) if not row.by_seed]
    if missing:
        section.blocks.append(Missing(f"This run has no figures of: {', '.join(missing)}."))
    section.blocks.append(TableBlock(ensemble_table(rows)))
    composition = composition_table(rows)
    section.blocks.extend([TableBlock(composition)] if composition else [])
    ranking = read_figures(run / RANKING)
    if ranking is None:
        section.blocks.append(Missing(f"There is no ranking of the systems ({RANKING.as_posix()})."))
    else:
        section.blocks.append(TableBlock(ranking_table(ranking)))
    return section


def ablation_section(rows: Sequence[Row]) -> Section:
    """Variants of MLFL, and in words which ingredients do not help."""
    table = ablation_table(rows)
    if table is None:
        return Section(
            "ablation", "Ablation", [Missing("There are no variants (ablation/<variant>/<seed>).")]
        )
    return Section("ablation", "Ablation", [TableBlock(table), *map(Text, unhelpful_sentences(rows))])


def labels_section(rows: Sequence[Row]) -> Section:
    """Figures label by label."""
    tables = label_tables(rows)
    if not tables:
        return Section("labels", "Labels", [Missing("No file of figures has a part for each label.")])
    return Section("labels", "Labels", [TableBlock(table) for table in tables])


def _told(rows: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(text for row in rows for text in row.told(name)))
