"""`allcnn bench`: what it prints, its JSON, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from allcnn.benchmark import BenchmarkResult, Product, Speed, recipe_time
from allcnn.device import Device
from allcnn.runs.recipe import RECIPES

SMALL = ("bench", "--spec", "8C3/2-NC1:linear-GAP", "--seconds", "0.1")

RESULT = BenchmarkResult(
    model="all-c", spec="96C3-NC1-GAP", image_shape=(32, 32, 3), classes=10, parameters=1, multiply_adds=250_000_000,
    device=Device("tensorflow", "cpu", "Some processor", 1, True), precision="mixed_bfloat16",
    recipe="fast", batch_size=200, augmentation="flip-shift", noise_images=1000,
    training=Speed("bfloat16", (400.0,), 1_500_000_000, (Product("bfloat16", 16384, 1024, 256, 2.4e12),)),
    prediction=Speed("float32", (500.0,), 500_000_000, (Product("float32", 2048, 2048, 2048, 1e12),)),
    recipes=tuple(recipe_time(RECIPES[name], 400.0, 500.0) for name in ("paper", "review")),
    memory_peak_bytes=1_234_000_000, device_memory_peak_bytes=None,
)  # fmt: skip


def test_a_person_sees_speeds_durations_and_memory(allcnn, monkeypatch):
    asked = {}

    def measured(network, **options):
        asked.update(options, network=network)
        return RESULT

    monkeypatch.setattr("allcnn.benchmark.benchmark", measured)
    outcome = allcnn(
        "bench", "--recipe", "fast", "--batch-size", "50", "--precision", "float32", "--augment", "flip-shift",
        "--seconds", "3", "--image-size", "64", "--classes", "7",
    )  # fmt: skip
    assert outcome.code == 0
    asked.pop("announce")
    assert asked == {
        "network": "all-c", "recipe": "fast", "batch_size": 50, "precision": "float32", "augmentation": "flip-shift",
        "seconds": 3.0, "image_size": 64, "classes": 7,
    }  # fmt: skip
    lines = outcome.out.splitlines()
    assert lines[0] == "all-c: 250.0 M multiply-adds an image of 32 x 32"
    assert lines[1] == "Some processor, tensorflow, mixed_bfloat16, fast, batches of 200, flip-shift"
    cells = [line.split() for line in lines]
    # 400 x 1.5e9 of 2.4e12, and 500 x 0.5e9 of 1e12.
    assert "training bfloat16 400 600 2,400 25.0 %".split() in cells
    assert "prediction float32 500 250 1,000 25.0 %".split() in cells
    assert "Ceiling: 16384x1024 by 1024x256 and 2048x2048 by 2048x2048 matrix products." in lines
    # 17.5 million images at 400 a second are 43,750 s, 3.5 million at 500 are 7,000 s.
    assert "paper, review 350 epochs 12:09:10 h 1:56:40 h 14:05:50 h".split() in cells
    assert lines[-1] == "memory  1.23 GB of this process, at the peak"
    assert all(len(line) <= 80 for line in lines)


def test_more_than_the_ceiling_is_explained(allcnn, monkeypatch):
    # 500 x 0.5e9 are 2.5e11: of 1e12 a quarter, of 2e11 more than there is.
    explanation = "Over 100 %: other programs slowed the products, or convolutions are faster here.\n"
    monkeypatch.setattr("allcnn.benchmark.benchmark", lambda *_, **__: RESULT)
    assert explanation not in allcnn("bench").out
    slower = replace(RESULT.prediction, products=(Product("float32", 2048, 2048, 2048, 2e11),))
    monkeypatch.setattr("allcnn.benchmark.benchmark", lambda *_, **__: replace(RESULT, prediction=slower))
    assert explanation in allcnn("bench").out


def test_json_is_one_document_with_the_same_figures(allcnn, monkeypatch):
    for name in ("_CPU_SHAPES", "_GPU_SHAPES"):
        monkeypatch.setattr(f"allcnn.benchmark.{name}", ((64, 32, 16),))
    outcome = allcnn(*SMALL, "--batch-size", "10", "--json")
    assert outcome.code == 0
    document = outcome.document
    assert set(document) == {
        "model", "spec", "image_shape", "classes", "parameters", "multiply_adds", "device", "precision", "recipe",
        "batch_size", "augmentation", "noise_images", "training", "prediction", "recipes", "memory_peak_bytes",
        "device_memory_peak_bytes",
    }  # fmt: skip
    training = document["training"]
    assert training["fraction"] == pytest.approx(
        training["images_per_second"] * 6 * document["multiply_adds"] / training["ceiling_operations_per_second"]
    )
    paper = document["recipes"][0]
    assert paper["training_seconds"] == pytest.approx(350 * 50_000 / training["images_per_second"])
    assert paper["total_seconds"] == pytest.approx(paper["training_seconds"] + paper["test_seconds"])
    assert "predicting ...\n" in outcome.err
