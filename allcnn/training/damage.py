"""Image files that turn out to be damaged while a run streams them: refused by name, or passed over and counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

from allcnn.data.streamed import Images, as_images
from allcnn.errors import TrainingError
from allcnn.files import write_text
from allcnn.runs.folder import RunFolder
from allcnn.training.plan import RunPlan


@contextmanager
def refusing_damage(images: Images | None, folder: RunFolder) -> Iterator[None]:
    """Where the block fails on an image that cannot be decoded, say which: tf.data only knows that something failed.

    Raises:
        TrainingError: in place of whatever came of it.
    """
    try:
        yield
    except Exception:
        refused = as_images(images).damage.refused if images is not None else None
        if refused is None:
            raise
        what = str(refused).splitlines()[0]
        raise TrainingError(
            f"{what}\nGo on without such files: "
            f"allcnn train --resume --run-dir {quote(str(folder.path))} --skip-damaged"
        ) from None


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
