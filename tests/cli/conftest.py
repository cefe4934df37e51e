"""What the tests of the commands share: running them in this process, and one small finished run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from allcnn_cli.main import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def allcnn(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command: allcnn("params", "all-c") -> its exit code, standard output and standard error."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    arguments = ["--spec", "8C3/2-NC1-GAP", "--dataset", "digits", "--epochs", "2", "--run-dir", str(folder), "--json"]
    assert main(["train", *arguments]) == 0
    return folder


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """A folder of images, train/CLASS/* and test/CLASS/*, with the two classes "dark" and "light"."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "pictures"
    for split, count in (("train", 3), ("test", 2)):
        for name, grey in (("dark", 40), ("light", 200)):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = np.full((12, 16, 3), grey + index, np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")
    return folder
