"""The short form of tests/studies/streaming_memory.py: what streaming holds does not grow with what it streams."""

from __future__ import annotations

from photo_files import jpeg

PROGRAM = """
import resource, sys
from allcnn.data import load_data
from allcnn.data.pipeline import BatchOrder, training_batches

def peak(folder):
    data = load_data(data_dir=folder, stream=True, image_size=128)
    count = len(data.train_images)
    order = BatchOrder(count, 50, seed=0, streamed=True)
    for _ in training_batches(data.train_images, data.train_labels, order, 0, count // 50):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

few = peak(sys.argv[1])
print(peak(sys.argv[2]) / few)
"""


def test_ten_times_the_images_take_no_more_memory(tmp_path, run_python):
    contents = [jpeg(index) for index in range(20)]
    for name, count in (("few", 400), ("many", 4000)):
        for label in ("a", "b"):
            for split in ("train", "val"):
                (tmp_path / name / split / label).mkdir(parents=True)
            (tmp_path / name / "val" / label / "one.jpg").write_bytes(contents[0])
            for index in range(count // 2):
                path = tmp_path / name / "train" / label / f"{index}.jpg"
                path.write_bytes(contents[index % 20])
    ratio = float(run_python("-c", PROGRAM, str(tmp_path / "few"), str(tmp_path / "many")).stdout)
    # All images decoded would be 177 MB more, and what tf.data holds ahead is there in both.
    assert ratio < 1.1
