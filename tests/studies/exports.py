"""How far exported models are from Keras, each in its own runtime, on real images.

    python tests/studies/exports.py DATA_DIR [--photographs FOLDER] [--networks strided-a,...] [--steps 300]

DATA_DIR holds CIFAR-10, or a head of it as cifar10-head.npz; FOLDER holds photographs, *.JPEG, for the ImageNet
network. Every network is compared twice: trained for so many steps of 50 images, on 100 of those compared so that it
becomes sure soon (not with --steps 0), and with large random weights. A row says how sure the network is (its mean
largest probability) and of how many classes; for each format it has the largest difference of a probability over
batches of 1, 3 and 250, the size, and the seconds that the export took. The figures are in RESULTS.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from allcnn.backend import load_keras

NETWORKS = {
    "strided-a": ("strided-a", "gcn-zca"),
    "all-c": ("all-c", "gcn-zca"),
    "c (max-pooling)": ("c", "gcn-zca"),
    "a with p-norm pooling": ("D.2-96C5-L2P3/2-D.5-192C5-L4P3/2-D.5-192C3v-192C1-NC1:linear-GAP", "gcn-zca"),
    "BN and leaky_relu": ("64C3:linear-BN-:leaky_relu(0.1)-96C3/2-BN-AP2-128C3v-256FC-D.5-NFC", "standardize"),
    "review-a (padding 1)": ("review-a", "channel-mean"),
    "imagenet-all-b": ("imagenet-all-b", "channel-mean"),
}
SIZES = (1, 3, 250)
BATCH, MEMORISED = 50, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    load_keras()
    print(
        "| Network | weights | mean largest probability | classes given | ONNX | SavedModel | LiteRT | MB | seconds |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for name in options.networks.split(","):
        if name == "imagenet-all-b" and options.photographs is None:
            continue
        images, labels = _photographs(options.photographs) if name == "imagenet-all-b" else _cifar(options.data_dir)
        for weights, steps in (("trained", options.steps), ("large", 0)):
            if weights == "trained" and steps == 0:
                continue
            print(_row(name, weights, images, labels, steps), flush=True)


def _cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    if (folder / "cifar10-head.npz").is_file():
        with np.load(folder / "cifar10-head.npz") as arrays:
            return arrays["x_train"], arrays["y_train"].astype(np.int32)
    from allcnn.data import load_data

    data = load_data("cifar10", folder)
    return data.train_images[:5000], data.train_labels[:5000]


def _photographs(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    from allcnn.data.images import ResizeRule, read_image

    paths = sorted(folder.rglob("*.JPEG"))[: SIZES[-1]]
    images = np.stack([ResizeRule(224, 224).centre(read_image(path)) for path in paths])
    return images, np.arange(len(images), dtype=np.int32)


def _row(name: str, weights: str, images: np.ndarray, labels: np.ndarray, steps: int) -> str:
    import keras

    from allcnn.export import export_model
    from allcnn.models.build import build_model
    from allcnn.preprocessing import make_preprocessing

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "export"))
    from runtimes import make_decided, run_keras, run_litert, run_onnx, run_saved_models

    text, kind = NETWORKS[name]
    keras.utils.set_random_seed(0)
    model = build_model(text, images.shape[1:], seed=0, preprocessing=make_preprocessing(kind).adapt(images))
    seen = images[-SIZES[-1] :].astype(np.float32)
    if steps:
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        order = np.random.default_rng(0)
        for _ in range(steps):
            chosen = order.integers(len(images) - MEMORISED, len(images), BATCH)
            model.train_on_batch(images[chosen].astype(np.float32), labels[chosen])
    else:
        make_decided(model, seen[:100])
    wanted = run_keras(model, seen, SIZES)
    differences, sizes, seconds = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for format, output in (("onnx", "m.onnx"), ("saved_model", "m"), ("litert", "m.tflite")):
            begun = time.monotonic()
            exported = export_model(model, format, Path(folder) / output)
            seconds.append(time.monotonic() - begun)
            sizes.append(exported.bytes / 1e6)
            if format == "saved_model":
                (found,) = run_saved_models([exported.path], [seen], SIZES, Path(folder))
            else:
                found = (run_onnx if format == "onnx" else run_litert)(exported.path, seen, SIZES)
            differences.append(max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True)))
    chances = wanted[-1]
    cells = [name, weights, f"{chances.max(axis=1).mean():.2f}", str(len(set(chances.argmax(axis=1).tolist())))]
    cells += [f"{value:.1e}" for value in differences]
    cells += [" / ".join(f"{value:.1f}" for value in values) for values in (sizes, seconds)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
