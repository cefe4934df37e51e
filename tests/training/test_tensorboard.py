"""TensorBoard's event files hold the rows of metrics.csv, each epoch once, also after a resumed run."""

import pytest
from small_runs import SPEC, StopAt

from allcnn.errors import InputError, Interrupted
from allcnn.runs.folder import read_metrics
from allcnn.training.run import train


def test_the_event_files_hold_every_epoch_once(stripes, numbers, tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(SPEC, dataset=stripes, run_dir=run, tensorboard=True, callbacks=[StopAt(6 * 2 + 3)], **numbers)
    train(dataset=stripes, run_dir=run, resume=True)
    rows = read_metrics(run / "metrics.csv")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    for column in ("loss", "penalty", "train_error", "test_error", "learning_rate"):
        found = [(event.step, float(event.tensor_proto.float_val[0])) for event in events.Tensors(column)]
        assert found == [(row["epoch"], pytest.approx(row[column], rel=1e-6)) for row in rows]


def test_without_tensorboard_it_is_a_plain_error(stripes, numbers, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("allcnn.training.plan.find_spec", lambda name: None)
    with pytest.raises(InputError, match='not installed. Install it with: pip install "tensorboard'):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", tensorboard=True, **numbers)
    assert not (tmp_path / "run").exists()
