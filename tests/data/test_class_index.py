from __future__ import annotations

import pytest

from allcnn.data.class_index import read_class_index
from allcnn.errors import DataError

FOLDERS = ("n01440764", "n02012849", "n03126707")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("class_index.json", '{"n01440764": "tench", "n02012849": "b", "n03126707": "c"}', ("tench", "b", "c")),
        (
            "imagenet_class_index.json",
            '{"0": ["n01440764", "tench"], "1": ["n02012849", "crane"], "2": ["n03126707", "crane"], "3": ["n0", "x"]}',
            ("tench", "crane (n02012849)", "crane (n03126707)"),
        ),
        (
            "synset_words.txt",
            "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 lifting device\n\n",
            ("tench", "crane", "lifting device"),
        ),
        ("LOC_synset_mapping.txt", "n01440764 tench\nn02012849 crane\nn03126707\n", ("tench", "crane", "n03126707")),
    ],
)  # fmt: skip
def test_the_forms_it_comes_in(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert read_class_index(tmp_path, FOLDERS) == expected


def test_without_one_the_folders_are_the_names(tmp_path):
    assert read_class_index(tmp_path, FOLDERS) == FOLDERS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "not a class index"), ("{", "not a class index"), ('{"0": 1}', "not a class index"),
        ('{"0": ["a"]}', "not a class index"), ("[" * 100_000, "not a class index"), ("\ud800", "not a class index"),
        ('{"n01440764": "tench"}', "does not name the class n02012849 and 1 more"),
        ('{"n01440764": "", "n02012849": "b", "n03126707": "c"}', "a class is named"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "class_index.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=said) as error:
        read_class_index(tmp_path, FOLDERS)
    assert str(tmp_path) in str(error.value) and len(str(error.value).splitlines()) == 2
