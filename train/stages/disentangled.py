"""Disentangled feature: how many components of the embedding each label's attention sees.

Lin et al., "Specialized decision surface and disentangled feature" (2020): labels that often come alone get more of
them, so that the others are not learned from what sounds beside them.
"""

import numpy as np
from jaxtyping import Bool, Float

from edge_app.core.errors import SedgeError
from train.models.mlfl import disentangled_widths


def alone_counts(tags: Bool[np.ndarray, "clip label"], most: int) -> Float[np.ndarray, " label"]:
    """F_c: the sum over i = 1 ... `most` of the number of clips with exactly i labels, c among them, over i."""
    n_tags = tags.sum(1)
    counts = [tags[n_tags == count].sum(0) / count for count in range(1, most + 1)]
    return np.sum(counts, axis=0)


def attended_components(
    tags: Bool[np.ndarray, "clip label"], event_labels: tuple[str, ...], width: int, most: int, floor: float
) -> tuple[int, ...]:
    """k_c of each label from the tags of labelled clips, by its F_c and the share `floor` that every label gets.

    Raises SedgeError where a label would see nothing.
    """
    counts = alone_counts(tags, most)
    try:
        return disentangled_widths(counts.tolist(), width, floor)
    except ValueError as error:
        fewest = event_labels[int(counts.argmin())]
        raise SedgeError(
            f"disentangled_m: expected a share that leaves each label a component of {width}, found {floor:g}: "
            f"{fewest} has {counts.min():g} clips with at most {most} labels in all"
        ) from error
