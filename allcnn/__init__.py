"""The All Convolutional Net (Springenberg et al., 2014) in Keras 3.

Importing this is cheap: Keras and a backend load when a function needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allcnn.data.load import load_data as load_data
    from allcnn.evaluation import evaluate as evaluate
    from allcnn.evaluation import predict as predict
    from allcnn.export import export_model as export_model
    from allcnn.models.build import build_model as build_model
    from allcnn.models.saved import load_model as load_model
    from allcnn.runs.config import RunConfig as RunConfig
    from allcnn.runs.recipe import Recipe as Recipe
    from allcnn.specs import parse as parse
    from allcnn.training.callbacks import LearningRateMultiplier as LearningRateMultiplier
    from allcnn.training.callbacks import RunRecord as RunRecord
    from allcnn.training.callbacks import TableExport as TableExport
    from allcnn.training.run import train as train

_HOMES = {
    "LearningRateMultiplier": "allcnn.training.callbacks",
    "Recipe": "allcnn.runs.recipe",
    "RunConfig": "allcnn.runs.config",
    "RunRecord": "allcnn.training.callbacks",
    "TableExport": "allcnn.training.callbacks",
    "build_model": "allcnn.models.build",
    "evaluate": "allcnn.evaluation",
    "export_model": "allcnn.export",
    "load_data": "allcnn.data.load",
    "load_model": "allcnn.models.saved",
    "parse": "allcnn.specs",
    "predict": "allcnn.evaluation",
    "train": "allcnn.training.run",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "optimizers":
        return import_module("allcnn.optimizers")
    if name not in _HOMES:
        raise AttributeError(f"module 'allcnn' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
