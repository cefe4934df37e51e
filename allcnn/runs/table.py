"""One run's result as a row in the style of the paper's Tables 3 and 4, as `table.md` holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from allcnn.specs.published import published_error
from allcnn.specs.zoo import Network
from allcnn.tables import MISSING, Column, Values, markdown, tabulate, value


@dataclass(frozen=True)
class ResultRow:
    """One network's result beside the published one. Errors are percent; None where there is none.

    conditions: what the row was trained on, such as "cifar10, paper, lr 0.05, seed 0".
    """

    method: str
    parameters: int
    error_percent: float | None = None
    published_error_percent: float | None = None
    published_parameters: str | None = None
    published_source: str | None = None
    conditions: str = ""
    epochs: int | None = None

    def with_error(self, error_percent: float | None, epochs: int) -> ResultRow:
        """The row with what was measured after so many epochs."""
        return replace(self, error_percent=error_percent, epochs=epochs)


def result_row(
    method: str, network: Network | None, parameters: int, dataset: str, augmentation: str, conditions: str
) -> ResultRow:
    """The row of a run, with the published figures of the same network on the same data, where there are any."""
    error, source = published_error(network, dataset, augmentation) if network else (None, None)
    return ResultRow(
        method=network.published_name if network else method,
        parameters=parameters,
        published_error_percent=error,
        published_parameters=network.published_parameters if network and source else None,
        published_source=source,
        conditions=conditions,
    )


def table_markdown(rows: Sequence[ResultRow]) -> str:
    """The rows as a markdown table: model, error and parameters, ours and the published."""
    return markdown(tabulate("result", "", _COLUMNS, [(asdict(row), ()) for row in rows]))


def _published(values: Values) -> str:
    error = values["published_error_percent"]
    return MISSING if error is None else f"{error:.2f} ({values['published_source']})"


_COLUMNS = (
    Column("Model", value("method", ""), left=True),
    Column("Error (%)", value("error_percent")),
    Column("Published error (%)", _published),
    Column("# parameters", value("parameters", ",")),
    Column("Published #", value("published_parameters", "")),
    Column("Epochs", value("epochs", "")),
    Column("Trained on", value("conditions", ""), left=True),
)
