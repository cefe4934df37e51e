"""`allcnn sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from allcnn.errors import AllcnnError, InputError, Interrupted
from allcnn_cli import options
from allcnn_cli.output import (
    WIDTH,
    complain,
    only_results_on_stdout,
    percent,
    show_json,
    show_sentence,
    show_table,
    table_width,
)

if TYPE_CHECKING:
    from allcnn.sweep import RateFigures, SweepResult


@options.of_a_run(without=("learning_rate", "seed", "devices"))
def sweep(
    *,
    models: Annotated[
        str | None,
        options.of_network(
            "NAMES",
            "paper, review (twelve networks each), or names or texts, joined by commas.",
            complete=f"{options.NETWORKS},paper,review",
        ),
    ] = None,
    asked: dict[str, Any],
    learning_rates: Annotated[
        str | None,
        options.of_recipe(
            "RATES",
            "Learning rates, joined by commas.",
            "--lrs",
            default="0.25,0.1,0.05,0.01; of fast and of a run's config.json: its own",
        ),
    ] = None,
    seeds: Annotated[str | None, options.of_recipe("SEEDS", "Seeds, joined by commas.", default="0")] = None,
    config: options.Config = None,
    runs_dir: Annotated[Path, options.of_saving("DIR", "The folder of the run folders.")] = Path("runs"),
    retry_failed: Annotated[
        bool,
        options.of_saving(
            "", "Begin diverged, dead and unreadable runs anew. Their folders are moved aside.", "--retry-failed"
        ),
    ] = False,
    jobs: Annotated[int, options.of_machine("N", "How many runs at a time, without Ray.")] = 1,
    ray: options.Ray = None,
    gpus_per_run: Annotated[float, options.of_machine("N", "GPUs that Ray gives a run.")] = 0,
    cpus_per_run: Annotated[float, options.of_machine("N", "CPUs that Ray gives a run.")] = 1,
    workers_per_run: Annotated[
        int, options.of_machine("N", "Workers that share a run on Ray, each with these CPUs and GPUs.")
    ] = 1,
    as_json: options.Json = False,
) -> None:
    """Search the learning rate of networks, over several seeds.

    Stopped in any way, the same command goes on: finished runs are kept,
    unfinished ones resumed.

    Examples:
      allcnn sweep --models strided-a,all-c --lrs 0.05,0.01 --seeds 0,1,2
      allcnn sweep --models paper --epochs 20 --validation 0.1 --jobs 2
      allcnn sweep --models review --recipe review --ray --gpus-per-run 1
    """
    if ray is not None and jobs != 1:
        raise InputError("both --jobs and --ray were given; Ray decides by --cpus-per-run and --gpus-per-run.")
    rates = None if learning_rates is None else _numbers(learning_rates, float, "--lrs", "0.25,0.1,0.05,0.01")
    seed_numbers = None if seeds is None else _numbers(seeds, int, "--seeds", "0,1,2")
    with only_results_on_stdout():
        from allcnn.sweep import sweep as sweep_networks

        try:
            result = sweep_networks(
                models or "", rates, seed_numbers,
                config=config, runs_dir=runs_dir, jobs=jobs,
                ray=False if ray is None else options.ray_address(ray) or True,
                gpus_per_run=gpus_per_run, cpus_per_run=cpus_per_run, workers_per_run=workers_per_run,
                retry_failed=retry_failed, progress=True, announce=complain, **asked,
            )  # fmt: skip
        except Interrupted as stop:
            raise Interrupted(f"{stop}\n{_this_command()}") from None
    if as_json:
        show_json(result.as_dict())
    else:
        _show(result)
    if result.crashed:
        names = "\n".join(f"  {run.name}: {run.status}: {run.reason}" for run in result.crashed)
        raise AllcnnError(
            f"{len(result.crashed)} of {len(result.runs)} runs have no result; the same command tries them again "
            f"(logs: {result.runs_dir / 'logs'}):\n{names}"
        )


def _numbers(text: str, kind, option: str, example: str) -> list:
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f'{option} "{text}": expected numbers joined by commas, such as {example}.') from None


def _this_command() -> str:
    import shlex
    import sys

    return shlex.join(["allcnn", *sys.argv[1:]])


def _show(result: SweepResult) -> None:
    from allcnn.runs.collected import FAILED

    held_out = result.chosen_by == "validation_error"
    seeds = max(figures.runs for row in result.table for figures in row.rates)
    headings, rows = _table(result, held_out)
    narrow = table_width(headings, rows) > WIDTH
    if narrow:
        headings, rows = _table(result, held_out, narrow)
    show_table(headings, rows)
    what = "on the images held out" if held_out else "on the test images after the last epoch"
    over = f", means over {seeds} seeds" if seeds > 1 else ""
    chosen = "" if held_out else ", as in the paper"
    show_sentence(f"Errors in percent {what}{over}. *: the best learning rate by these errors{chosen}.")
    if narrow:
        show_sentence(f"(n/m): n of m runs finished. `allcnn report {result.runs_dir} --table lr` shows deviations.")
    for run in result.runs:
        if run.status in FAILED:
            show_sentence(f"{run.name}: {run.status}: {run.reason}")


def _table(result: SweepResult, held_out: bool, narrow: bool = False) -> tuple[list[str], list[list[str]]]:
    """Headings and rows; the narrow table leaves out deviations, and what can be seen of the starred entries."""
    headings = ["network", *(f"lr {figures.learning_rate:g}" for figures in result.table[0].rates)]
    rows = [
        [row.model, *(_entry(figures, held_out, figures is row.best, narrow) for figures in row.rates)]
        for row in result.table
    ]
    if not narrow:
        headings.append("best lr")
    if not narrow or held_out:
        headings.append("test error")
    for row, cells in zip(result.table, rows, strict=True):
        last = {
            "best lr": f"{row.best.learning_rate:g}" if row.best else "-",
            "test error": percent(row.best.test_error if row.best else None),
        }
        cells += [text for heading, text in last.items() if heading in headings]
    return headings, rows


def _entry(figures: RateFigures, held_out: bool, best: bool, narrow: bool) -> str:
    """The mean and deviation of what finished, and how many did not."""
    mean = figures.validation_error if held_out else figures.test_error
    deviation = figures.validation_deviation if held_out else figures.test_deviation
    others = [(status, count) for status, count in figures.statuses if status != "finished"]
    lost = ", ".join(status if figures.runs == 1 else f"{count} {status}" for status, count in others)
    if mean is None:
        return lost
    if narrow and lost:
        lost = f"{figures.runs - sum(count for _, count in others)}/{figures.runs}"
    spread = f" ± {deviation:.2f}" if deviation is not None and not narrow else ""
    return f"{mean:.2f}{spread}{f' ({lost})' if lost else ''}{' *' if best else '  '}"
