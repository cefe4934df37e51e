"""The learning rate as a function of the position in a run."""

from __future__ import annotations

from collections.abc import Sequence


def learning_rate(position: int, base: float, milestones: Sequence[int], multiplier: float = 0.1) -> float:
    """The learning rate after `position` whole epochs (or steps): `base` times `multiplier` for each milestone passed.

    The paper (section 3.2.1) multiplies by 0.1 "after e1, e2 and e3 epochs": with milestones 200, 250, 300 the
    epochs at positions 0 to 199 run at `base`, 200 to 249 at a tenth. A pure function, so that a resumed run has
    no edge; rounded to 12 digits, since 0.05 * 0.1 is not quite 0.005 in binary.
    """
    passed = sum(position >= milestone for milestone in milestones)
    return float(f"{base * multiplier**passed:.12g}")
