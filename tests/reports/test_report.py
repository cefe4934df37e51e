"""The tables: which runs stand in which row, what is missing, what is left out and said to be."""

from __future__ import annotations

import pytest

from allcnn.errors import InputError
from allcnn.reports.report import TABLES, measured_only, report_table


def cells_of(table, first: str, start: int = 0, stop: int | None = None) -> list[tuple[str, ...]]:
    """The cells of every row that begins with this one."""
    return [row.cells[start:stop] for row in table.rows if row.cells[0] == first]


def row_of(table, name: str):
    """The row of a published name."""
    return next(row for row in table.rows if row.values["published_name"] == name)


def notes_of(table, name: str) -> tuple[str, ...]:
    return row_of(table, name).notes


def said(table) -> str:
    return " ".join((*table.footnotes, *table.remarks))


def test_table_3_has_the_twelve_rows_ours_and_the_missing(write_run, runs_below) -> None:
    for seed, error in enumerate((9.0, 9.4)):
        write_run("all-c", error, lr=0.05, seed=seed)
    write_run("all-c", 9.9, lr=0.01)
    table = report_table(runs_below(), "3")
    assert len(table.rows) == 12
    assert cells_of(table, "ALL-CNN-C", 1, 8) == [("9.08", "≈ 1.4 M", "11.17", "9.20 ± 0.28", "2", "0.05", "+0.12")]
    ours = row_of(table, "ALL-CNN-C").values
    assert ours["difference"] == pytest.approx(0.12)
    assert (ours["searched"], ours["chosen_by"], ours["parameters"]) == ([0.05, 0.01], "test_error", 1_369_738)
    assert "Learning rate chosen by the last epoch's test error, as in the paper." in notes_of(table, "ALL-CNN-C")
    assert cells_of(table, "Model A", 4, 8) == [("missing", "-", "-", "-")]
    missing = row_of(table, "Model A").values
    assert (missing["n"], missing["measured_error_percent"]) == (0, None)


def test_rows_without_a_run_are_counted_where_they_are_most(write_run, runs_below) -> None:
    for model in ("a", "b", "c", "strided-a", "strided-b"):
        write_run(model, 10.0)
    table = measured_only(report_table(runs_below(), "3"))
    assert [row.values["network"] for row in table.rows] == ["a", "strided-a", "b", "strided-b", "c"]
    assert table.remarks[0] == "No run has finished for 7 of the 12 networks; `--table 3` lists them."
    numbers = [int(number) for row in table.rows for number in row.cells[-1].split(",")]
    assert set(numbers) == set(range(1, len(table.footnotes) + 1)), "no note of a row that is not there"
    write_run("strided-c", 10.0)
    whole = report_table(runs_below(), "3")
    assert measured_only(whole) is whole and len(whole.rows) == 12


def test_a_part_without_anything_measured_is_left_out(write_run, runs_below) -> None:
    write_run("all-c", 9.0, augmentation="flip-shift")
    table = measured_only(report_table(runs_below(), "4"))
    assert [section for section, _ in table.parts()] == ["CIFAR-10, with data augmentation"]
    assert len(table.rows) == 6 and "3 of the 4 networks; `--table 4`" in table.remarks[0]
    search = report_table(runs_below(), "lr")
    assert measured_only(search) is search


def test_it_says_that_held_out_images_chose(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.05, validation=0.1, validation_error=10.0)
    write_run("all-c", 8.0, lr=0.01, validation=0.1, validation_error=11.0)
    table = report_table(runs_below(), "3")
    assert cells_of(table, "ALL-CNN-C", 4, 7) == [("9.00", "1", "0.05")]
    assert row_of(table, "ALL-CNN-C").values["chosen_by"] == "validation_error"
    notes = notes_of(table, "ALL-CNN-C")
    assert "Learning rate chosen by the last epoch's error on the images held out." in notes
    assert "Trained without the 0.1 of the training images that were held out." in notes


@pytest.mark.parametrize(
    "run, note",
    [
        ({"length": 3, "batch_size": 100}, "3 epochs instead of 350; batch size 100 instead of 200."),
        ({"recipe": "fast", "augmentation": "none", "length": 20}, "Recipe fast with 20 epochs instead of 40."),
        ({"lr": 0.02}, "The learning rate is none of the paper's four (0.25, 0.1, 0.05, 0.01)."),
        ({"lr": 0.05}, "Only one learning rate was run."),
        ({"config": {"training_images": 40_000}}, "Trained on 40,000 images; the official training set has 50,000."),
        (
            {"config": {"source": "photos (train/ and test/)"}},
            "Images read from a folder of image files, not from CIFAR's official files.",
        ),
    ],
)
def test_what_differs_from_the_paper_is_said(write_run, runs_below, run, note) -> None:
    write_run("all-c", 40.0, **run)
    notes = notes_of(report_table(runs_below(), "3"), "ALL-CNN-C")
    assert note in notes
    assert run.get("lr") == 0.02 or not any("none of the paper's four" in note for note in notes)


def test_runs_of_two_precisions_are_marked(write_run, runs_below) -> None:
    write_run("all-c", 9.0)
    write_run("all-c", 9.1, seed=1, config={"precision": "bfloat16"})
    assert "Its runs differ in backend or precision." in notes_of(report_table(runs_below(), "3"), "ALL-CNN-C")


def test_failures_and_open_ends_are_said(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.05)
    write_run("all-c", None, lr=0.25, status="diverged")
    write_run("all-c", None, lr=0.01, status="interrupted")
    write_run("a", None, status="unfinished")
    table = report_table(runs_below(), "3")
    assert {"At learning rate 0.25: 1 diverged of 1 run.", "Not counted: 1 interrupted."} <= set(
        notes_of(table, "ALL-CNN-C")
    )
    assert cells_of(table, "Model A", 4, 5) == [("missing",)]
    assert notes_of(table, "Model A") == ("Not counted: 1 unfinished.",)


def test_the_longest_run_stands_in_the_row_the_others_are_counted(write_run, runs_below) -> None:
    write_run("all-c", 40.0, length=3, milestones=(2, 3, 3))
    write_run("all-c", 9.1)
    write_run("all-c", 7.2, augmentation="flip-shift")
    write_run("all-c", 33.0, dataset="cifar100")
    write_run("8C3-NC1-GAP", 50.0)
    write_run("review-all-c", 11.0)
    table = report_table(runs_below(), "3")
    assert cells_of(table, "ALL-CNN-C", 4, 5) == [("9.10",)]
    assert table.remarks[-1] == (
        "Not in this table: 2 runs of the same networks in other settings or on other images; 1 run on cifar100; "
        "2 runs of other networks. `--table lr` shows them."
    )


def test_a_run_with_augmentation_stands_where_there_is_none_without(write_run, runs_below) -> None:
    write_run("strided-b", 5.0, dataset="digits")
    write_run("all-c", 9.2, recipe="fast", lr=0.02)
    write_run("all-c", 30.0, recipe="fast", lr=0.02, augmentation="none", length=10)
    table = report_table(runs_below(), "3")
    assert cells_of(table, "ALL-CNN-C", 4, 5) == [("9.20",)] and "not comparable" not in table.title
    assert "Recipe fast with flip-reflect; published without." in notes_of(table, "ALL-CNN-C")
    write_run("all-c", 10.5, recipe="fast", lr=0.02, augmentation="none")
    table = report_table(runs_below(), "3")
    assert cells_of(table, "ALL-CNN-C", 4, 5) == [("10.50",)], "without augmentation, and nothing else is changed"
    assert "Recipe fast." in notes_of(table, "ALL-CNN-C")
    write_run("all-c", 9.5)
    assert cells_of(report_table(runs_below(), "3"), "ALL-CNN-C", 4, 5) == [("9.50",)]


def test_a_search_without_held_out_images_stands_in_the_row(write_run, runs_below) -> None:
    for seed in (0, 1):
        write_run("all-c", 9.0, seed=seed, validation=0.1, validation_error=10.0)
    write_run("all-c", 9.5)
    write_run("all-c", 9.5, lr=0.1)
    table = report_table(runs_below(), "3")
    assert cells_of(table, "ALL-CNN-C", 4, 7) == [("9.50", "1", "0.05")]
    assert "Two learning rates have the same mean; of these the smaller." in notes_of(table, "ALL-CNN-C")


def test_runs_on_other_images_are_never_averaged(write_run, runs_below) -> None:
    """Those on the images that most runs are on stand in the row."""
    write_run("all-c", 9.0, images="one")
    write_run("all-b", 9.2, images="other")
    write_run("all-b", 9.4, images="one", seed=1)
    table = report_table(runs_below(), "3")
    assert cells_of(table, "ALL-CNN-B", 4, 6) == [("9.40", "1")]
    assert "Images with the digest" not in said(table)
    assert "1 run of the same networks in other settings or on other images" in said(table)


def test_rows_on_different_images_are_marked(write_run, runs_below) -> None:
    write_run("all-c", 9.0, images="one")
    write_run("all-b", 9.2, images="other")
    table = report_table(runs_below(), "3")
    for name in ("ALL-CNN-C", "ALL-CNN-B"):
        digest = row_of(table, name).values["digest"][:12]
        assert f"Images with the digest {digest}." in notes_of(table, name)
        assert f"cifar10 {digest}" in table.remarks[-1]


def test_digits_alone_fill_table_3_but_are_not_compared(write_run, runs_below) -> None:
    write_run("all-c", 2.0, dataset="digits", lr=0.02)
    table = report_table(runs_below(), "3")
    assert table.title.endswith("measured on digits, which is not comparable")
    assert len(table.rows) == 12
    ((paper, *_, measured, n, lr, difference),) = cells_of(table, "ALL-CNN-C", 1, 8)
    assert (paper, measured, n, lr, difference) == ("9.08", "2.00", "1", "0.02", "-")


def test_digits_beside_cifar10_are_left_out(write_run, runs_below) -> None:
    write_run("all-c", 2.0, dataset="digits")
    write_run("a", None, status="unfinished")
    table = report_table(runs_below(), "3")
    assert "digits" not in table.title
    assert cells_of(table, "ALL-CNN-C", 4, 5) == [("missing",)]
    assert "1 run on digits" in table.remarks[-1]


def test_table_4_puts_each_run_in_its_part(write_run, runs_below) -> None:
    write_run("all-c", 9.1)
    write_run("all-c", 7.3, recipe="fast", lr=0.02)  # flip-reflect stands beside the paper's shifts
    write_run("all-c", 34.0, dataset="cifar100")
    write_run("all-b", 9.0)
    table = report_table(runs_below(), "4")
    assert [section for section, _ in table.parts()][:2] == [
        "CIFAR-10, without data augmentation", "CIFAR-10, with data augmentation",
    ]  # fmt: skip
    assert cells_of(table, "ALL-CNN (Ours)", 3, 5) == [("9.10", "+0.02"), ("7.30", "+0.05"), ("34.00", "+0.29")]
    ours = [row for row in table.rows if row.values["network"] == "all-c"]
    assert [row.values["parameters"] for row in ours] == [1_369_738, 1_369_738, 1_387_108]
    assert "1 seed at learning rate 0.05." in ours[0].notes
    assert cells_of(table, "Large ALL-CNN (Ours)", 3, 4) == [("missing",)]
    assert set(cells_of(table, "Maxout [1]", 3, 5)) == {("", "")}
    assert "1 run of other networks" in said(table)
    assert ("all-c", "cifar10, flip-reflect") in cells_of(report_table(runs_below(), "lr"), "all-c", 0, 2)


def test_the_reviews_table_takes_its_own_networks_first(write_run, runs_below) -> None:
    write_run("all-c", 9.0)
    write_run("review-all-c", 11.0, recipe="review")
    write_run("a", 12.0)
    write_run("review-a", None, recipe="review", status="diverged")
    table = report_table(runs_below(), "review")
    assert cells_of(table, "ALL-CNN-C", 1, 8) == [("11.17", "984.55", "0.05", "11.00", "1", "3.00", "0.05")]
    assert row_of(table, "ALL-CNN-C").values["network"] == "review-all-c"
    assert cells_of(table, "Model A", 4, 5) == [("12.00",)]
    assert row_of(table, "Model A").values["network"] == "a"
    assert "The paper's network and recipe: there is no run of the review's." in notes_of(table, "Model A")
    assert "on a machine" in said(table)
    assert "2 runs of the same networks in other settings" in said(table)


def test_table_lr_shows_every_run_once(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.05, seed=0)
    write_run("all-c", 9.2, lr=0.05, seed=1)
    write_run("all-c", 9.9, lr=0.01)
    for name in ("one/x", "two/x"):
        write_run("all-c", None, lr=0.25, status="diverged", reason="loss is not a number in epoch 2\nmore", name=name)
    write_run("all-c", None, lr=0.1, status="interrupted")
    write_run("16C3/2-32C3/2-64C3/2-NC1-GAP", 2.0, dataset="digits")
    runs = runs_below()
    table = report_table(runs, "lr")
    assert [column.heading for column in table.columns] == [
        "network", "data set", "epochs", "lr", "n", "test %", "best", "other runs", "notes",
    ]  # fmt: skip
    assert [row.cells for row in table.rows] == [
        ("all-c", "cifar10", "350", "0.25", "0", "-", "", "2 diverged", "1"),
        ("all-c", "cifar10", "350", "0.1", "0", "-", "", "1 interrupted", ""),
        ("all-c", "cifar10", "350", "0.05", "2", "9.10 ± 0.14", "best", "", ""),
        ("all-c", "cifar10", "350", "0.01", "1", "9.90", "", "", ""),
        ("16C3/2-32C3/2-64C3/…", "digits", "350", "0.05", "1", "2.00", "only", "", "2,3"),
    ]
    assert table.footnotes[:2] == (
        "x diverged: loss is not a number in epoch 2",
        "Network: 16C3/2-32C3/2-64C3/2-NC1-GAP",
    )
    listed = [run["folder"] for row in table.rows for run in row.values["runs"]]
    assert sorted(listed) == sorted(str(run.folder.path) for run in runs)


@pytest.mark.parametrize("name", TABLES)
def test_every_run_is_shown_counted_or_said_to_be_left_out(write_run, runs_below, name) -> None:
    """Rows' counted and not counted runs, and those of the last remark, are all runs."""
    for number in range(30):
        write_run(
            ("all-c", "a", "8C3-NC1-GAP", "review-b")[number % 4], 9.0, lr=(0.1, 0.05)[number % 2], seed=number % 5,
            dataset=("cifar10", "cifar100", "digits")[number % 7 % 3],
            augmentation=("none", "flip-shift")[number % 3 == 0],
            status=("finished", "diverged", "unfinished")[number % 11 % 3],
        )  # fmt: skip
    table = report_table(runs_below(), name)
    inside = sum(row.values["n"] + sum(row.values["not_counted"].values()) for row in table.rows)
    remark = table.remarks[-1] if table.remarks[-1].startswith("Not in") else ""
    outside = sum(
        int(word) for word, what in zip(remark.split(), remark.split()[1:], strict=False) if what in ("run", "runs")
    )
    assert inside + outside == 30
    assert name != "lr" or inside == 30


def test_no_such_table() -> None:
    with pytest.raises(InputError, match='unknown table "5"; expected one of: 3, 4, review, lr'):
        report_table([], "5")
