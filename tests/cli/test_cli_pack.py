"""`allcnn data DIR`: packing a folder, looking at it, checking it."""

from __future__ import annotations

import pytest
from photo_files import write_photographs


@pytest.fixture
def photos(tmp_path):
    return write_photographs(tmp_path / "photos")


def test_a_folder_is_packed_looked_at_and_checked(allcnn, photos, tmp_path):
    packed = tmp_path / "packed"
    document = allcnn("data", photos, "--pack", packed, "--shard-size", "1", "--json").document
    assert document["packed"] == str(packed) and document["classes"] == 2
    assert [(shard["file"], shard["images"]) for shard in document["shards"]] == [
        ("train-00000.tfrecord", 20), ("test-00000.tfrecord", 6),
    ]  # fmt: skip
    assert all(len(shard["sha256"]) == 64 for shard in document["shards"])
    looked_at = allcnn("data", packed, "--check", "--json").document
    assert looked_at["digest"] == document["digest"] and looked_at["layout"] == "packed"
    assert looked_at["damaged"] == [] and looked_at["train"]["images"] == 20
    again = allcnn("data", photos, "--pack", packed)
    assert again.code == 2 and "is there already" in again.err


def test_damage_is_named_counted_and_told_by_the_exit_code(allcnn, photos, tmp_path):
    bad = photos / "train/n00000000/photo_4.JPEG"
    bad.write_bytes(b"none")
    refused = allcnn("data", photos, "--pack", tmp_path / "packed")
    assert refused.code == 2 and refused.err.startswith(f"error: {bad}: not an image")
    checked = allcnn("data", photos, "--check")
    assert checked.code == 1
    assert "damaged   1 files" in checked.out and str(bad) in checked.out
    packed = allcnn("data", photos, "--pack", tmp_path / "packed", "--skip-damaged")
    assert packed.code == 0
    assert "damaged   1 train images, left out: n00000000/photo_4.JPEG" in packed.out
    assert ["total", "25"] == packed.out.splitlines()[-1].split()[:2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pack", "out"], "--pack needs the folder to pack"),
        (["PHOTOS", "--pack", "out", "--check"], "--pack goes with neither --samples nor --check"),
        (["PHOTOS", "--pack", "out", "--shard-size", "0"], "at least 1 MB; got 0"),
        (["PHOTOS", "--shard-size", "5"], "--shard-size is for --pack OUT"),
        (["./nowhere", "--pack", "out"], "nowhere: there is no such folder"),
        (["nowhere"], "unknown data set 'nowhere'"),
    ],
)
def test_wrong_calls(allcnn, photos, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    outcome = allcnn("data", *(photos if argument == "PHOTOS" else argument for argument in arguments))
    assert outcome.code == 2 and said in outcome.err
    assert not (tmp_path / "out").exists()
