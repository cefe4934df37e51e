"""The tables: which runs stand in which row, what is missing, what is left out and said to be."""

from __future__ import annotations

import pytest

from allcnn.errors import InputError
from allcnn.reports.report import TABLES, report_table


def row_of(table, first):
    """The rows that begin with this cell."""
    return next(row for row in table.rows if row.cells[0] == first)


def said(table) -> str:
    return " ".join((*table.footnotes, *table.remarks))


def test_table_3_has_the_twelve_rows_ours_and_the_missing(write_run, runs_below) -> None:
    for seed, error in enumerate((9.0, 9.4)):
        write_run("all-c", error, lr=0.05, seed=seed)
    write_run("all-c", 9.9, lr=0.01)
    table = report_table(runs_below(), "3")
    assert len(table.rows) == 12
    ours = row_of(table, "ALL-CNN-C")
    assert ours.cells[:8] == ("ALL-CNN-C", "9.08", "≈ 1.4 M", "11.17", "9.20 ± 0.28", "2", "0.05", "+0.12")
    assert ours.values["difference"] == pytest.approx(0.12)
    assert ours.values["searched"] == [0.05, 0.01]
    assert ours.values["chosen_by"] == "test_error"
    assert ours.values["parameters"] == 1_369_738
    missing = row_of(table, "Model A")
    assert missing.cells[4:8] == ("missing", "-", "-", "-")
    assert (missing.values["n"], missing.values["measured_error_percent"]) == (0, None)
    assert "chosen by the last epoch's test error, as in the paper" in " ".join(table.notes_of(ours))


def test_it_says_that_held_out_images_chose(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.05, validation=0.1, validation_error=10.0)
    write_run("all-c", 8.0, lr=0.01, validation=0.1, validation_error=11.0)
    table = report_table(runs_below(), "3")
    ours = row_of(table, "ALL-CNN-C")
    assert ours.cells[4:7] == ("9.00", "1", "0.05")
    assert ours.values["chosen_by"] == "validation_error"
    notes = " ".join(table.notes_of(ours))
    assert "chosen by the last epoch's error on the images held out" in notes
    assert "Trained without the 0.1 of the training images" in notes


def test_fewer_epochs_and_changed_numbers_are_marked(write_run, runs_below) -> None:
    write_run("all-c", 40.0, length=3, batch_size=100)
    table = report_table(runs_below(), "3")
    notes = table.notes_of(row_of(table, "ALL-CNN-C"))
    assert "3 epochs instead of 350; batch size 100 instead of 200." in notes
    assert "Only one learning rate was run." in notes


def test_another_recipe_is_named_and_held_against_itself(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.03, recipe="fast", augmentation="none", length=20)
    table = report_table(runs_below(), "3")
    notes = table.notes_of(row_of(table, "ALL-CNN-C"))
    assert "Recipe fast with 20 epochs instead of 40." in notes
    assert not any("none of the paper's four" in note for note in notes)


def test_a_learning_rate_of_ones_own_is_marked(write_run, runs_below) -> None:
    write_run("all-c", 40.0, lr=0.02)
    table = report_table(runs_below(), "3")
    assert "none of the paper's four" in " ".join(table.notes_of(row_of(table, "ALL-CNN-C")))


def test_failures_and_open_ends_are_said(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.05)
    write_run("all-c", None, lr=0.25, status="diverged")
    write_run("all-c", None, lr=0.01, status="interrupted")
    write_run("a", None, status="unfinished")
    table = report_table(runs_below(), "3")
    notes = table.notes_of(row_of(table, "ALL-CNN-C"))
    assert "At learning rate 0.25: 1 diverged of 1 run." in notes
    assert "Not counted: 1 interrupted." in notes
    assert row_of(table, "Model A").cells[4] == "missing"
    assert table.notes_of(row_of(table, "Model A")) == ["Not counted: 1 unfinished."]


def test_the_longest_run_stands_in_the_row_the_others_are_counted(write_run, runs_below) -> None:
    write_run("all-c", 40.0, length=3, milestones=(2, 3, 3))
    write_run("all-c", 9.1)
    write_run("all-c", 7.2, augmentation="flip-shift")
    write_run("all-c", 33.0, dataset="cifar100")
    write_run("8C3-NC1-GAP", 50.0)
    write_run("review-all-c", 11.0)
    table = report_table(runs_below(), "3")
    assert row_of(table, "ALL-CNN-C").cells[4] == "9.10"
    assert table.remarks[-1] == (
        "Not in this table: 1 run on cifar10 with augmentation flip-shift; "
        "1 run of the same networks in other settings or on other images; 1 run on cifar100; 2 runs of other networks. "
        "`--table lr` shows them."
    )


def test_runs_on_other_images_are_never_averaged(write_run, runs_below) -> None:
    """Those on the images that most runs are on stand in the row."""
    write_run("all-c", 9.0, images="one")
    write_run("all-b", 9.2, images="other")
    write_run("all-b", 9.4, images="one", seed=1)
    table = report_table(runs_below(), "3")
    assert row_of(table, "ALL-CNN-B").cells[4:6] == ("9.40", "1")
    assert "Images with the digest" not in said(table)
    assert "1 run of the same networks in other settings or on other images" in said(table)


def test_rows_on_different_images_are_marked(write_run, runs_below) -> None:
    write_run("all-c", 9.0, images="one")
    write_run("all-b", 9.2, images="other")
    table = report_table(runs_below(), "3")
    for name in ("ALL-CNN-C", "ALL-CNN-B"):
        digest = row_of(table, name).values["digest"][:12]
        assert f"Images with the digest {digest}." in table.notes_of(row_of(table, name))
        assert f"cifar10 {digest}" in table.remarks[-1]


def test_digits_alone_fill_table_3_but_are_not_compared(write_run, runs_below) -> None:
    write_run("all-c", 2.0, dataset="digits", lr=0.02)
    table = report_table(runs_below(), "3")
    assert table.title.endswith("measured on digits, which is not comparable")
    assert len(table.rows) == 12
    ours = row_of(table, "ALL-CNN-C")
    assert ours.cells[1] == "9.08"
    assert (ours.cells[4], ours.cells[7], ours.values["difference"]) == ("2.00", "-", None)


def test_digits_beside_cifar10_are_left_out(write_run, runs_below) -> None:
    write_run("all-c", 2.0, dataset="digits")
    write_run("a", None, status="unfinished")
    table = report_table(runs_below(), "3")
    assert "digits" not in table.title
    assert row_of(table, "ALL-CNN-C").cells[4] == "missing"
    assert "1 run on digits" in table.remarks[-1]


def test_table_4_puts_each_run_in_its_part(write_run, runs_below) -> None:
    write_run("all-c", 9.1)
    write_run("all-c", 7.3, augmentation="flip-shift")
    write_run("all-c", 34.0, dataset="cifar100")
    write_run("all-b", 9.0)
    table = report_table(runs_below(), "4")
    ours = [row for row in table.rows if row.cells[0] == "ALL-CNN (Ours)"]
    assert [row.cells[3:5] for row in ours] == [("9.10", "+0.02"), ("7.30", "+0.05"), ("34.00", "+0.29")]
    assert [row.values["parameters"] for row in ours] == [1_369_738, 1_369_738, 1_387_108]
    assert row_of(table, "Large ALL-CNN (Ours)").cells[3] == "missing"
    assert row_of(table, "Maxout [1]").cells[3:5] == ("", "")
    assert "1 run of other networks" in said(table)


def test_table_4_puts_flip_reflect_beside_the_papers_shifts(write_run, runs_below) -> None:
    write_run("all-c", 7.4, recipe="fast", lr=0.02)
    ours = [row for row in report_table(runs_below(), "4").rows if row.cells[0] == "ALL-CNN (Ours)"]
    assert [row.cells[3:5] for row in ours][1] == ("7.40", "+0.15")
    assert "cifar10, flip-reflect" in [cell for row in report_table(runs_below(), "lr").rows for cell in row.cells]


def test_the_reviews_table_takes_its_own_networks_first(write_run, runs_below) -> None:
    write_run("all-c", 9.0)
    write_run("review-all-c", 11.0, recipe="review")
    write_run("a", 12.0)
    table = report_table(runs_below(), "review")
    assert row_of(table, "ALL-CNN-C").cells[:8] == (
        "ALL-CNN-C", "11.17", "984.55", "0.05", "11.00", "1", "3.00", "0.05",
    )  # fmt: skip
    assert row_of(table, "ALL-CNN-C").values["network"] == "review-all-c"
    assert row_of(table, "Model A").cells[4] == "12.00"
    assert "The paper's network and recipe" in " ".join(table.notes_of(row_of(table, "Model A")))
    assert "on a machine" in said(table)
    assert "1 run of the same networks in other settings" in said(table)


def test_table_lr_shows_every_run_once(write_run, runs_below) -> None:
    write_run("all-c", 9.0, lr=0.05, seed=0)
    write_run("all-c", 9.2, lr=0.05, seed=1)
    write_run("all-c", 9.9, lr=0.01)
    write_run("all-c", None, lr=0.25, status="diverged", reason="loss is not a number in epoch 2")
    write_run("all-c", None, lr=0.1, status="interrupted")
    write_run("16C3/2-32C3/2-64C3/2-NC1-GAP", 2.0, dataset="digits")
    runs = runs_below()
    table = report_table(runs, "lr")
    assert [column.heading for column in table.columns] == [
        "network", "data set", "epochs", "lr", "n", "test %", "best", "other runs", "notes",
    ]  # fmt: skip
    assert [row.cells[:8] for row in table.rows] == [
        ("all-c", "cifar10", "350", "0.25", "0", "-", "", "1 diverged"),
        ("all-c", "cifar10", "350", "0.1", "0", "-", "", "1 interrupted"),
        ("all-c", "cifar10", "350", "0.05", "2", "9.10 ± 0.14", "best", ""),
        ("all-c", "cifar10", "350", "0.01", "1", "9.90", "", ""),
        ("16C3/2-32C3/2-64C3/…", "digits", "350", "0.05", "1", "2.00", "only", ""),
    ]
    assert "loss is not a number in epoch 2" in said(table)
    assert "Network: 16C3/2-32C3/2-64C3/2-NC1-GAP" in said(table)
    shown = [run["folder"] for row in table.rows for run in row.values["runs"]]
    assert sorted(shown) == sorted(str(run.folder.path) for run in runs)


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
