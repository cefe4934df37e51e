"""The All Convolutional Net (Springenberg et al., 2014) in Keras 3.

Importing this is cheap: Keras and a backend load when a function needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allcnn import errors as errors
    from allcnn import optimizers as optimizers
    from allcnn import specs as specs
    from allcnn import visualize as visualize
    from allcnn.data.load import load_data as load_data
    from allcnn.evaluation import evaluate as evaluate
    from allcnn.evaluation import predict as predict
    from allcnn.export import export_model as export_model
    from allcnn.models.build import build_model as build_model
    from allcnn.models.saved import load_model as load_model
    from allcnn.runs.config import RunConfig as RunConfig
    from allcnn.runs.recipe import Recipe as Recipe
    from allcnn.specs import list_models as list_models
    from allcnn.specs import parse as parse
    from allcnn.training.callbacks import LearningRateMultiplier as LearningRateMultiplier
    from allcnn.training.callbacks import RunRecord as RunRecord
    from allcnn.training.callbacks import TableExport as TableExport
    from allcnn.training.run import train as train

    __version__: str

_HOMES = {
    "LearningRateMultiplier": "allcnn.training.callbacks",
    "Recipe": "allcnn.runs.recipe",
    "RunConfig": "allcnn.runs.config",
    "RunRecord": "allcnn.training.callbacks",
    "TableExport": "allcnn.training.callbacks",
    "build_model": "allcnn.models.build",
    "evaluate": "allcnn.evaluation",
    "export_model": "allcnn.export",
    "list_models": "allcnn.specs",
    "load_data": "allcnn.data.load",
    "load_model": "allcnn.models.saved",
    "parse": "allcnn.specs",
    "predict": "allcnn.evaluation",
    "train": "allcnn.training.run",
}
_ROOMS = ("errors", "optimizers", "specs", "visualize")

__all__ = sorted(_HOMES)

if not TYPE_CHECKING:  # a type checker would take any name for one that this finds

    def __getattr__(name):
        from importlib import import_module

        if name == "__version__":
            return _version()
        if name in _ROOMS:
            return import_module(f"allcnn.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'allcnn' has no attribute '{name}'")
        return getattr(import_module(_HOMES[name]), name)


def _version() -> str:
    """The installed version; "0+unknown" of a folder that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("allcnn")
    except PackageNotFoundError:
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_ROOMS, "__version__"])
