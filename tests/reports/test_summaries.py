"""Which runs are averaged together, and which learning rate is chosen."""

from __future__ import annotations

import pytest

from allcnn.reports.summaries import search_results


def test_seeds_give_n_mean_and_sample_deviation(write_run, runs_below) -> None:
    for seed, error in enumerate((9.0, 9.3, 9.9)):
        write_run("all-c", error, seed=seed)
    (search,) = search_results(runs_below())
    test = search.best.test
    assert (test.n, test.mean) == (3, pytest.approx(9.4))
    assert test.deviation == pytest.approx((((0.4**2) + (0.1**2) + (0.5**2)) / 2) ** 0.5)


def test_one_seed_has_no_deviation(write_run, runs_below) -> None:
    write_run("all-c", 9.0)
    (search,) = search_results(runs_below())
    assert (search.best.test.n, search.best.test.deviation) == (1, None)


def test_the_lowest_mean_wins_not_the_lowest_run(write_run, runs_below) -> None:
    for seed, error in enumerate((8.0, 12.0)):
        write_run("all-c", error, lr=0.1, seed=seed)
    for seed, error in enumerate((9.0, 9.5)):
        write_run("all-c", error, lr=0.05, seed=seed)
    (search,) = search_results(runs_below())
    assert [trial.learning_rate for trial in search.trials] == [0.1, 0.05]
    assert (search.best.learning_rate, search.chosen_by) == (0.05, "test_error")


def test_held_out_images_choose_where_every_run_has_them(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.1, validation=0.1, validation_error=11.0)
    write_run("all-c", 9.9, lr=0.05, validation=0.1, validation_error=10.0)
    (search,) = search_results(runs_below())
    assert (search.best.learning_rate, search.chosen_by) == (0.05, "validation_error")
    assert search.best.test.mean == 9.9
    write_run("all-c", 8.9, lr=0.1, seed=1, validation=0.1)  # without its error on them
    (search,) = search_results(runs_below())
    assert (search.best.learning_rate, search.chosen_by) == (0.1, "test_error")


def test_runs_with_and_without_held_out_images_are_two_settings(write_run, runs_below) -> None:
    write_run("all-c", 9.0, validation=0.1, validation_error=11.0)
    write_run("all-c", 8.0, seed=1)
    assert [search.best.test.n for search in search_results(runs_below())] == [1, 1]


def test_equal_means_go_to_the_smaller(write_run, runs_below) -> None:
    write_run("all-c", 9.1, lr=0.1)
    write_run("all-c", 9.1, lr=0.01)
    (search,) = search_results(runs_below())
    assert (search.best.learning_rate, search.tied) == (0.01, True)
    # 9.0 and 9.2 have the mean 9.1, but not in the last bit.
    write_run("all-c", 9.0, lr=0.001, seed=0)
    write_run("all-c", 9.2, lr=0.001, seed=1)
    (search,) = search_results(runs_below())
    assert (search.best.learning_rate, search.tied) == (0.001, True)


def test_a_learning_rate_that_fails_for_one_seed_is_not_chosen(write_run, runs_below) -> None:
    write_run("all-c", 8.0, lr=0.25, seed=0)
    write_run("all-c", None, lr=0.25, seed=1, status="diverged")
    write_run("all-c", 9.0, lr=0.05)
    (search,) = search_results(runs_below())
    assert search.best.learning_rate == 0.05
    assert search.trials[0].failed == 1


def test_a_seed_fails_once_and_not_at_all_if_it_finished_when_it_was_begun_anew(write_run, runs_below) -> None:
    write_run("all-c", None, lr=0.25, name="run.failed-1", status="diverged")
    write_run("all-c", 8.0, lr=0.25, name="run")
    write_run("all-c", None, lr=0.1, name="other.failed-1", status="dead")
    write_run("all-c", None, lr=0.1, name="other", status="dead")
    write_run("all-c", 9.0, lr=0.05)
    (search,) = search_results(runs_below())
    assert [trial.failed for trial in search.trials] == [0, 1, 0] and search.best.learning_rate == 0.25
    assert dict(search.not_counted) == {"diverged": 1, "dead": 2}


def test_where_all_failed_for_some_the_fewest_failures_win(write_run, runs_below) -> None:
    for seed, status in enumerate(("finished", "dead", "diverged")):
        write_run("all-c", 8.0 if status == "finished" else None, lr=0.25, seed=seed, status=status)
    write_run("all-c", None, lr=0.1, status="diverged")
    for seed, status in enumerate(("finished", "dead", "finished")):
        write_run("all-c", 9.0 if status == "finished" else None, lr=0.05, seed=seed, status=status)
    (search,) = search_results(runs_below())
    assert (search.best.learning_rate, search.tied) == (0.05, False)


def test_nothing_chose_where_every_rate_failed(write_run, runs_below) -> None:
    for rate in (0.25, 0.1):
        write_run("all-c", None, lr=rate, status="diverged")
    (search,) = search_results(runs_below())
    assert (search.best, search.chosen_by) == (None, None)


@pytest.mark.parametrize("status", ["unfinished", "interrupted", "stopped", "diverged", "dead"])
def test_only_finished_runs_count(write_run, runs_below, status) -> None:
    write_run("all-c", 9.0, seed=0)
    write_run("all-c", None, seed=1, status=status)
    (search,) = search_results(runs_below())
    (trial,) = search.trials
    assert (trial.test.n, dict(trial.not_counted)) == (1, {status: 1})


def test_the_same_seed_counts_once(write_run, runs_below) -> None:
    write_run("all-c", 9.0, name="first")
    write_run("all-c", 9.0, name="second")
    (search,) = search_results(runs_below())
    assert [run.name for run in search.best.counted] == ["first"]
    assert dict(search.best.not_counted) == {"repeated": 1}


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "cifar100"}, {"images": "others"}, {"length": 3, "milestones": (2, 3, 3)}, {"batch_size": 100},
        {"augmentation": "flip-shift"}, {"weight_decay": 0.0}, {"validation": 0.1}, {"model": "all-b"},
        {"recipe": "review"},
    ],
)  # fmt: skip
def test_what_differs_is_never_averaged(write_run, runs_below, other) -> None:
    write_run("all-c", 9.0, seed=0)
    write_run(**{"model": "all-c", "error": 9.5, "seed": 1, **other})
    searches = search_results(runs_below())
    assert [search.best.test.n for search in searches] == [1, 1]


def test_a_network_written_out_is_the_published_one(write_run, runs_below) -> None:
    write_run("all-c", 9.0, seed=0)
    write_run("D.2-96C3-96C3-96C3/2-D.5-192C3-192C3-192C3/2-D.5-192C3v-192C1-NC1-GAP", 9.2, seed=1)
    (search,) = search_results(runs_below())
    assert (search.network.name, search.best.test.n) == ("all-c", 2)
