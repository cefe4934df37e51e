"""Where a run goes on: the state in its folder, and what is said and noted of what is not as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from allcnn.data.pipeline import BatchOrder
from allcnn.errors import RunError
from allcnn.runs.folder import write_json
from allcnn.training import outcome
from allcnn.training.identity import refuse_other_run, spread_differences
from allcnn.training.plan import RunPlan

if TYPE_CHECKING:
    from allcnn.runs.checkpoint import TrainingState


def load_own_state(
    plan: RunPlan, config: dict[str, Any], order: BatchOrder, total_steps: int, announce: Callable[[str], None]
) -> TrainingState | None:
    """The state to go on from, if the run in the folder is this one, or differs in what may differ only.

    What differs is announced, and joins the "changes" of config.json, with the steps that were done until then.

    Raises:
        RunError: another run, or one that is further than this is to go.
        CheckpointError: no state there can be read.
    """
    from allcnn.runs.checkpoint import load_state

    stored = plan.stored or {}
    allowed = refuse_other_run(plan.folder.path, stored, config, plan.allow)
    respread = spread_differences(stored, config)
    state = load_state(plan.folder, announce)
    done = state.steps_done if state else 0
    if done > total_steps:
        so_far = outcome.amount(done, order.steps_per_epoch, math.ceil(total_steps / order.steps_per_epoch))
        raise RunError(f"{plan.folder.path}: is further than that already: {so_far}; expected more (--epochs).")
    if allowed:
        announce(f"allowed: {'; '.join(map(str, allowed))}.")
    if respread:
        announce(f"{'; '.join(map(str, respread))}: from here the figures agree within rounding, not to the bit.")
    if said := [str(change) for change in (*allowed, *respread)]:
        record = [*stored.get("changes", []), {"after_steps": done, "allowed": said}]
        write_json(plan.folder.config, {**config, "changes": record})
    return state
