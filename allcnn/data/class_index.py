"""What classes are called whose folders have names such as n01440764: a class-index file beside the images."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from allcnn.data.dataset import check_class_names
from allcnn.data.printable import printable
from allcnn.errors import DataError

# Far more than the names of 22,000 classes take.
_LARGEST = 16 << 20


def read_class_index(folder: Path, class_folders: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, in the order of their folders; the folders' own where no file tells others.

    Looked for in `folder`, in this order: `class_index.json` and `imagenet_class_index.json` (Keras's), {"0":
    ["n01440764", "tench"], ...} or {"n01440764": "tench", ...}; `synset_words.txt` (Caffe's) and
    `LOC_synset_mapping.txt` (Kaggle's), lines of "n01440764 tench, Tinca tinca", of which the first name is taken. Two
    classes of one name (ImageNet has two cranes) have their folder's added.

    Raises:
        DataError: the file cannot be read, or lacks a class.
    """
    for name, parse in _FORMATS.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"it has {path.stat().st_size:,} bytes")
            names = parse(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            detail = printable(" ".join(str(error).split())[:100])
            raise DataError(f"{printable(path)}: not a class index ({detail}).\nRepair it or take it away.") from None
        if missing := [printable(folder) for folder in class_folders if folder not in names]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(f"{printable(path)}: does not name the class {missing[0]}{more}.\nAdd it, or take it away.")
        found = [names[folder] for folder in class_folders]
        twice = {name for name, count in Counter(found).items() if count > 1}
        unique = tuple(
            f"{name} ({folder})" if name in twice else name for name, folder in zip(found, class_folders, strict=True)
        )
        check_class_names(unique, printable(path))
        return unique
    return tuple(class_folders)


def _parse_json(text: str) -> dict[str, str]:
    entries = json.loads(text)
    if not isinstance(entries, dict):
        raise ValueError("expected an object of classes")
    names = {}
    for key, value in entries.items():
        folder, name = value if isinstance(value, list) else (key, value)
        if not isinstance(folder, str) or not isinstance(name, str):
            raise ValueError(f'expected a name for "{key}"')
        names[folder] = name.replace("_", " ")
    return names


def _parse_lines(text: str) -> dict[str, str]:
    names = {}
    for line in text.splitlines():
        folder, _, words = line.strip().partition(" ")
        if folder:
            names[folder] = words.split(",")[0].strip() or folder
    return names


_FORMATS: dict[str, Callable[[str], dict[str, str]]] = {
    "class_index.json": _parse_json,
    "imagenet_class_index.json": _parse_json,
    "synset_words.txt": _parse_lines,
    "LOC_synset_mapping.txt": _parse_lines,
}
