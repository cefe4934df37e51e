"""What a run leaves behind when it ends: its figures, its row of the table, its model's card."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from allcnn.data.streamed import Images, as_images
from allcnn.errors import TrainingError
from allcnn.files import write_text
from allcnn.models.saved import ModelCard
from allcnn.runs.folder import Row, RunFolder, metrics_digest, write_json
from allcnn.runs.table import ResultRow, result_row, table_markdown
from allcnn.tables import duration, facts_html
from allcnn.training.plan import RunPlan

# The columns of metrics.csv that are results, not measurements of the machine.
_RESULTS = ("learning_rate", "loss", "penalty", "train_error", "test_error", "test_top5_error", "validation_error")


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended. Errors are percent; the published one is None where the paper has none for these data.

    status: "finished", or "stopped" where a callback ended the training before the recipe did.
    test_top5_error: None with ten classes or fewer. damaged_images: files that could not be read and were passed over.
    """

    run_dir: Path
    status: str
    epochs: int
    loss: float
    train_error: float
    test_error: float
    validation_error: float | None
    seconds: float
    parameters: int
    published_error: float | None
    table: str
    test_top5_error: float | None = None
    damaged_images: int = 0

    def __repr__(self) -> str:
        return (
            f"TrainingResult({self.run_dir}: {self.status}, {self.epochs} epochs, test error {self.test_error:.2f} %)"
        )

    def _repr_html_(self) -> str:
        def percent(error: float | None) -> str | None:
            return None if error is None else f"{error:.2f} %"

        return facts_html(
            f"{self.run_dir}: {self.status}",
            {
                "test error": percent(self.test_error),
                "published": percent(self.published_error),
                "top-5 error": percent(self.test_top5_error),
                "held-out error": percent(self.validation_error),
                "train error": percent(self.train_error),
                "loss": f"{self.loss:.4f}",
                "epochs": self.epochs,
                "training": duration(self.seconds),
                "parameters": f"{self.parameters:,}",
                "damaged images": self.damaged_images or None,
            },
        )

    def __fspath__(self) -> str:
        """The run's folder: whatever takes the path of a run takes its result."""
        return str(self.run_dir)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {**asdict(self), "run_dir": str(self.run_dir)}


def training_result(plan: RunPlan, status: str, rows: Sequence[Row]) -> TrainingResult:
    """The result of a run that ended, from the rows of its metrics: the last epoch's."""
    last = rows[-1]
    return TrainingResult(
        run_dir=plan.folder.path,
        status=status,
        epochs=len(rows),
        loss=last["loss"],
        train_error=last["train_error"],
        test_error=last["test_error"],
        validation_error=last.get("validation_error"),
        seconds=_training_seconds(rows),
        parameters=plan.parameters,
        published_error=result_row_of(plan).published_error_percent,
        table=_table(plan, rows),
        test_top5_error=last.get("test_top5_error"),
        damaged_images=len(damaged_images(plan)),
    )


def write_table(plan: RunPlan, rows: Sequence[Row]) -> None:
    """Write table.md from the last row."""
    write_text(plan.folder.table, _table(plan, rows))


def write_summary(plan: RunPlan, status: str, rows: Sequence[Row], of_epochs: int, reason: str | None = None) -> None:
    """Write summary.json: the last figures, if there are any yet, and how the run ended.

    status: "finished", "stopped", "interrupted", "diverged" or "dead"; reason: what was said about it.
    """
    last = rows[-1] if rows else {}
    summary = {
        "status": status,
        **({"reason": reason} if reason else {}),
        "model": plan.model,
        "dataset": plan.data.name,
        "recipe": plan.recipe.name,
        "seed": plan.asked.seed,
        "parameters": plan.parameters,
        "epochs": len(rows),
        "of_epochs": of_epochs,
        "test_images": len(plan.data.test_images),
        "published_error": result_row_of(plan).published_error_percent,
        **{key: last[key] for key in _RESULTS if last.get(key) is not None},
        "seconds": _training_seconds(rows),
        **({"damaged_images": len(damaged)} if (damaged := damaged_images(plan)) else {}),
        **({"metrics_sha256": metrics_digest(plan.folder.metrics)} if rows else {}),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(plan.folder.summary, summary)


def amount(steps: int, steps_per_epoch: int, of_epochs: int) -> str:
    """How much of a run so many steps are: "4 of 7 epochs and 3 steps of the next"."""
    epochs, within = divmod(steps, steps_per_epoch)
    if epochs == of_epochs or not within:
        return f"{epochs} of {of_epochs} epochs"
    return f"{epochs} of {of_epochs} epochs and {within} step{'s' * (within > 1)} of the next"


def resume_line(folder: RunFolder) -> str:
    """The command that goes on with a run."""
    return f"allcnn train --resume --run-dir {quote(str(folder.path))}"


def disk_full(folder: RunFolder, saved: str) -> TrainingError:
    """The error of a run that cannot write any more. saved: how much of the run is on disk."""
    return TrainingError(
        f"{folder.path}: no space is left on the disk; {saved} are saved.\n"
        f"Make room, then go on with: {resume_line(folder)}"
    )


def result_row_of(plan: RunPlan) -> ResultRow:
    """The run's row of Table 3 or 4, its error still open."""
    recipe = plan.recipe
    conditions = [plan.data.name, recipe.name, f"lr {recipe.learning_rate:g}", f"seed {plan.asked.seed}"]
    if recipe.augmentation != "none":
        conditions.insert(1, recipe.augmentation)
    return result_row(
        plan.model, plan.network, plan.parameters, plan.data.name, recipe.augmentation, ", ".join(conditions)
    )


def model_card(plan: RunPlan) -> ModelCard:
    """What lies as allcnn.json inside the saved model."""
    return ModelCard(
        model=plan.model,
        spec=str(plan.spec),
        dataset=plan.data.name,
        digest=plan.data.digest,
        streamed=plan.data.streamed,
        class_names=plan.data.class_names,
        image_shape=plan.data.image_shape,
        resize=plan.data.resize,
        preprocessing=plan.recipe.preprocessing,
        recipe=plan.recipe.name,
        augmentation=plan.recipe.augmentation,
        parameters=plan.parameters,
        data_dir=plan.data_dir,
    )


def _table(plan: RunPlan, rows: Sequence[Row]) -> str:
    return table_markdown([result_row_of(plan).with_error(rows[-1]["test_error"], epochs=len(rows))])


def _training_seconds(rows: Sequence[Row]) -> float:
    return sum(row["seconds"] for row in rows)


# Image files that turn out to be damaged while a run streams them: refused by name, or passed over and counted.


@contextmanager
def refusing_damage(images: Images | None, folder: RunFolder) -> Iterator[None]:
    """If the block fails because an image cannot be decoded, raise TrainingError with its name.

    tf.data only says that something failed.
    """
    try:
        yield
    except Exception:
        refused = as_images(images).damage.refused if images is not None else None
        if refused is None:
            raise
        what = str(refused).splitlines()[0]
        raise TrainingError(f"{what}\nGo on without such files: {resume_line(folder)} --skip-damaged") from None


def damaged_images(plan: RunPlan) -> list[str]:
    """The files passed over so far, by this process and those before it."""
    path = plan.folder.damaged
    found = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()
    for images in (plan.data.train_images, plan.data.test_images):
        found.update(as_images(images).damage.names.values())
    return sorted(found)


def record_damage(plan: RunPlan) -> None:
    """Write their names, one a line, to damaged.txt in the run folder, if there are any."""
    if names := damaged_images(plan):
        write_text(plan.folder.damaged, "".join(f"{name}\n" for name in names))
