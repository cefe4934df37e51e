"""What the folders of a grid tell, the best learning rate, and the time left."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from sweep_folders import leave, small_grid

from allcnn.reports.summaries import search_results
from allcnn.runs.collected import collect_runs
from allcnn.sweep.display import Board, SweepDisplay, run_line
from allcnn.sweep.result import GridRun, look, table_of


@pytest.fixture
def grid(tmp_path):
    return small_grid(tmp_path)


def run_of(model: str, rate: float, seed: int, error: float | None, status: str = "finished", held_out=None) -> GridRun:
    return GridRun(model, rate, seed, None, status, None, 4, 4, 1.0, error, held_out, 40.0)  # type: ignore[arg-type]


def test_each_state_of_a_folder_is_told_apart(grid) -> None:
    first, second, third, fourth = grid
    leave(first, "finished", [50.0, 40.0, 30.0, 20.0])
    leave(second, "diverged", [50.0], reason="the loss became nan in epoch 2: the run diverged.\nTry a smaller one.")
    leave(third, None, [60.0, 50.0])
    assert [look(cell).status for cell in grid] == ["finished", "diverged", "unfinished", "waiting"]
    assert look(first).test_error == 20.0 and look(first).seconds == 40.0
    assert look(second).reason == "the loss became nan in epoch 2: the run diverged." and look(second).epochs == 1
    assert look(third).test_error is None and look(third).epochs == 2
    leave(third, "interrupted", [60.0, 50.0])
    assert look(third).status == "unfinished"
    fourth.folder.path.mkdir()  # a process that was killed while it began
    fourth.folder.lock.write_text("process 1 on nowhere")
    (fourth.folder.path / ".config.json.partial-1").write_text("{")
    assert look(fourth).status == "waiting"


def test_what_cannot_be_read_is_said_and_nothing_is_raised(grid) -> None:
    first, second, third, _ = grid
    leave(first, "finished", [50.0] * 4)
    first.folder.config.write_text("{}")
    leave(second, "finished", [50.0] * 4)
    second.folder.metrics.write_text(second.folder.metrics.read_text().replace("50.0", "10.0"))
    third.folder.path.mkdir()
    (third.folder.path / "holiday.jpg").write_bytes(b"")
    found = [look(cell) for cell in grid[:3]]
    assert [run.status for run in found] == ["unreadable"] * 3
    assert "config.json: damaged or edited" in found[0].reason
    assert "metrics.csv: damaged or edited" in found[1].reason
    assert "is not empty and holds no run" in found[2].reason


def test_the_best_rate_is_that_of_the_lowest_mean_where_the_fewest_seeds_failed() -> None:
    runs = [
        run_of("all-c", 0.1, 0, 5.0), run_of("all-c", 0.1, 1, None, "diverged"),
        run_of("all-c", 0.05, 0, 10.0), run_of("all-c", 0.05, 1, 12.0),
        run_of("all-c", 0.01, 0, 11.5), run_of("all-c", 0.01, 1, 11.5),
        run_of("a", 0.1, 0, None, "dead"),
    ]  # fmt: skip
    row, other = table_of(runs, "test_error")
    assert row.best is row.rates[1] and row.best.test_error == 11.0
    assert row.best.test_deviation == pytest.approx(2**0.5) and row.rates[2].test_deviation == 0.0
    assert row.rates[0].statuses == (("diverged", 1), ("finished", 1)) and row.rates[0].test_deviation is None
    assert other.best is None and other.rates[0].runs == 1 and other.rates[0].finished == 0


@pytest.mark.parametrize(
    ("left", "best"),
    [
        ({0.05: (20.0, 20.0), 0.02: (20.0, 20.0)}, 0.02),  # a tie: the smaller
        ({0.05: (20.0, None), 0.02: (21.0, 21.0)}, 0.05),  # a seed that is not finished is no failure
        ({0.05: (20.0, "diverged"), 0.02: (21.0, None)}, 0.02),
        ({0.05: (20.0, "dead"), 0.02: ("diverged", "dead")}, 0.05),
        ({0.05: ("dead", "dead"), 0.02: ("diverged", None)}, None),
    ],
)
def test_a_sweep_and_a_report_choose_the_same_learning_rate(tmp_path, left, best) -> None:
    grid = small_grid(tmp_path, rates=tuple(left), seeds=(0, 1))
    cells = [cell for cell in grid if cell.model == grid[0].model]
    for cell in cells:
        state = left[cell.learning_rate][cell.asked.seed]
        if isinstance(state, str):
            leave(cell, state, [90.0], reason="the loss became nan.")
        else:
            leave(cell, "finished" if state else None, [state or 50.0] * 4)
    (row,) = table_of([look(cell) for cell in cells], "test_error")
    (search,) = search_results(collect_runs([tmp_path])[0])
    found = [chosen.learning_rate if chosen else None for chosen in (row.best, search.best)]
    assert found == [best, best]


def test_held_out_images_choose_where_there_are_some() -> None:
    runs = [run_of("a", 0.1, 0, 10.0, held_out=13.0), run_of("a", 0.05, 0, 12.0, held_out=11.0)]
    (row,) = table_of(runs, "validation_error")
    assert row.best.learning_rate == 0.05
    assert "held-out error 11.00 %" in run_line(runs[1], "validation_error")


def test_the_time_left_is_that_of_the_epochs_so_far_by_multiply_adds(grid) -> None:
    small, large = grid[0], grid[2]
    now = [0.0]
    leave(small, "finished", [50.0] * 4)
    board = Board(grid, "test_error", clock=lambda: now[0])
    ratio = large.multiply_adds / small.multiply_adds
    assert board.seconds_left() == pytest.approx(40 + 2 * 40 * ratio)
    leave(large, None, [50.0])
    board = Board(grid, "test_error", clock=lambda: now[0])
    assert [run.model for run in board.follow({large.name})] == [large.model] and board.follow({large.name}) == []
    rate = 50 / (4 * small.multiply_adds + large.multiply_adds)
    left = rate * (4 * small.multiply_adds + 7 * large.multiply_adds)
    assert board.seconds_left() == pytest.approx(left)
    now[0] = 1.0
    assert board.elapsed(large.name) == 1.0
    board.at_a_time = 3
    assert board.seconds_left() == pytest.approx(max(rate * 4 * large.multiply_adds, left / 3))


def test_a_crash_is_told_apart_from_a_run_that_cannot_go_anywhere(grid) -> None:
    board = Board(grid, "test_error")
    first, second, *_ = grid
    board.follow({first.name, second.name})
    leave(first, "dead", [90.0], reason="the network is dead")
    assert board.end(first.name, "exit code 1: the network is dead").status == "dead"
    crashed = board.end(second.name, "killed by SIGKILL (out of memory?)")
    assert (crashed.status, crashed.reason) == ("crashed", "killed by SIGKILL (out of memory?)")


def test_the_table_in_a_terminal_shows_what_runs_and_what_is_done(grid, terminal) -> None:
    first, second, third, _ = grid
    leave(first, "finished", [50.0, 40.0, 30.0, 20.0])
    leave(second, "dead", [90.0])
    leave(third, None, [60.0, 50.0])
    board = Board(grid, "test_error")
    board.follow({third.name})
    display = SweepDisplay(board, terminal)
    display.console.width = 100
    with display.console.capture() as capture:
        display.console.print(display._picture())
    shown = capture.get()
    for words in ("20.00", "dead", "2/4", "epoch 3/4", "best so far:", "4 runs: 1 finished, 1 dead, 1 running, 1 wait"):
        assert words in shown, words


def test_elsewhere_a_line_a_run(grid) -> None:
    stream = io.StringIO()
    board = Board(grid, "test_error")
    leave(grid[0], "finished", [50.0, 40.0, 30.0, 20.0])
    with SweepDisplay(board, stream) as display:
        display.began(replace(look(grid[2]), epochs=2))
        display.ended(board.end(grid[0].name, None))
        display.update()
    begun, ended = stream.getvalue().splitlines()
    assert begun == f"{grid[2].model} lr 0.05 seed 0: begun, 2 of 4 epochs are done"
    assert ended.startswith(f"[1/4] {grid[0].model} lr 0.05 seed 0: test error 20.00 %  ")
