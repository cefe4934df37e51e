"""Whether a run can still learn: a loss that is no number, a dead network, a loss that stays at guessing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from allcnn.errors import TrainingError
from allcnn.runs.folder import Row
from allcnn.runs.recipe import Recipe

#: Cross-entropy this close to that of guessing, ln C, has learned nothing.
PLATEAU = 0.01
# No start that was measured took more than 400 steps of 50 images of CIFAR-10 (RESULTS.md).
_EPOCHS, _FEWEST_STEPS = 5, 1000


class GivenUp(TrainingError):
    """Ends a run that cannot learn any more. `status` is the summary's: "diverged" or "dead"."""

    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Health:
    """Looks at a run's figures.

    patience: epochs in a row on the plateau of guessing after which the run is given up.
    """

    recipe: Recipe
    classes: int
    patience: int

    @property
    def guessing(self) -> float:
        """The cross-entropy of guessing, ln C."""
        return math.log(self.classes)

    def check_loss(self, loss: float, epoch: int) -> None:
        """Raise GivenUp if the loss of an epoch so far is not finite. epoch: from 1."""
        if not math.isfinite(loss):
            raise GivenUp(
                "diverged",
                f"the loss became {loss} in epoch {epoch}: the run diverged.\n"
                f"Try a smaller learning rate than {self.recipe.learning_rate:g} (--lr), another initialiser than "
                f"{self.recipe.initializer} (--initializer), or another preprocessing than "
                f"{self.recipe.preprocessing} (--preprocessing).",
            )

    def check_epoch(self, rows: Sequence[Row], largest_value: float) -> None:
        """Raise GivenUp where the last of the epochs so far shows a network that cannot, or does not, learn.

        largest_value: the largest magnitude before the softmax, of any image in that epoch.
        """
        epoch = rows[-1]["epoch"]
        if largest_value == 0:
            raise GivenUp(
                "dead",
                f"the network is dead: in epoch {epoch} the values of all classes were zero for every training image, "
                "so that the gradient is exactly zero and nothing can follow.\n" + self._advice(),
            )
        if (stuck := self.epochs_on_plateau(rows)) >= self.patience:
            raise GivenUp(
                "dead",
                f"the cross-entropy was still {rows[-1]['loss']:.3f} in epoch {epoch}, that of guessing is "
                f"{self.guessing:.3f}: nothing was learned in {stuck} epoch{'s' * (stuck > 1)}.\n"
                f"{self._advice()} To wait longer: --resume --patience {2 * stuck}.",
            )

    def epochs_on_plateau(self, rows: Sequence[Row]) -> int:
        """How many of the last epochs, in a row, ended within 1 % of guessing."""
        count = 0
        for row in reversed(rows):
            if abs(row["loss"] - self.guessing) > PLATEAU * self.guessing:
                break
            count += 1
        return count

    def _advice(self) -> str:
        return (
            f"Try another learning rate than {self.recipe.learning_rate:g} (--lr), another initialiser than "
            f"{self.recipe.initializer} (--initializer), a smaller batch (--batch-size), or a linear last convolution "
            "(NC1:linear in the network's text)."
        )


def default_patience(steps_per_epoch: int) -> int:
    """Five epochs, and no fewer than 1,000 steps."""
    return max(_EPOCHS, math.ceil(_FEWEST_STEPS / steps_per_epoch))
