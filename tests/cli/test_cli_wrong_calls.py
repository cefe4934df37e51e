"""Wrong calls of every command: exit code 2, a line or two that name what is wrong, and nothing written.

What a message says in full, the tests of the room that checks it hold.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TRAIN = "train --spec 8C3/2-NC1:linear-GAP --dataset digits --run-dir new"
SAMPLES = "data digits --samples s.png"
SWEEP = "sweep --dataset digits --runs-dir new"

# A call, {run} a finished run on the digits and {pictures} a folder of images; then what standard error names.
CALLS = [
    ("trian", "No such command 'trian'. Did you mean 'train'?", "Try: allcnn --help"),
    ("train --modle a", "No such option: --modle. Did you mean --model?", "Try: allcnn train --help"),
    ("train strided-b", "(strided-b). Did you mean --model strided-b?", "Try: allcnn train --help"),
    ("sweep all-c", "(all-c). Did you mean --models all-c?", "Try: allcnn sweep --help"),
    ("train", "no network was given; expected --model NAME (`allcnn params` lists them) or --spec TEXT."),
    ("train --model a --spec NFC", "both --model and --spec were given; expected one of them."),
    ("train --model a --lr fast", "Invalid value for '--lr': ", "Try: allcnn train --help"),
    (f"{TRAIN} --lr -0.1", "the learning rate must be a number above 0, such as 0.05; got -0.1."),
    (f"{TRAIN} --precision half", 'unknown precision "half"; expected one of: auto'),
    (f"{TRAIN} --recipe papers", 'unknown recipe "papers"; expected one of: paper', "Did you mean paper?"),
    (
        f"{TRAIN} --augment flip",
        'unknown augmentation "flip"; expected one of: none, flip-shift',
        "Did you mean flip-shift or flip-reflect?",
    ),
    (f"{TRAIN} --initializer he_norml", 'unknown initializer "he_norml"; expected', "Did you mean he_normal?"),
    (f"{TRAIN} --backend tensorflw", 'unknown backend "tensorflw"; expected', "Did you mean tensorflow?"),
    (f"{TRAIN} --set label_smothing=0.1", 'no number "label_smothing". Did you mean label_smoothing?'),
    (f"{TRAIN} --field 31", "a field of 31 x 31 pixels", "at least 32 (--field)", "(--image-size)"),
    (f"{TRAIN} --run-dir {{run}}", "{run}: already holds a run.", "--resume", "--run-dir"),
    ("eval", "Missing argument", "CKPT|RUN", "Try: allcnn eval --help"),
    ("eval none.keras", "none.keras: no such file; expected a .keras file or a run folder."),
    ("eval text.keras", "text.keras: not a saved model, or one cut short; expected a .keras file"),
    ("eval c", "c: no such file;", "Of the networks only all-c comes trained: pretrained."),
    # Known without the images of CIFAR, which may be a download away.
    (
        "eval {run} --dataset cifar10",
        "10 classes (0, 1, 2, ...)",
        "cifar10 has 10 classes (airplane,",
        "Pass the data set",
    ),
    ("eval {run} --data-dir {pictures}", "was trained on 10 classes", "pictures has 2 classes (dark, light)"),
    ("eval {run} --image-size 16", "takes images of (32, 32, 3)", "are (16, 16, 3)."),
    ("eval {run} --tests 0", "each image is tested 1, 2, ... times; got 0 (--tests)."),
    ("eval {run} --tests 12", "without an augmentation", "12 tests of an image", "--augment flip-shift"),
    ("predict {run} none.png", "none.png: there is no such file; expected an image."),
    ("predict none.png", "none.png: there is no such file; expected an image."),
    ("predict pretrained", "pretrained: is a model; expected images after it"),
    ("predict {run}", "{run}: is a model; expected images after it", "allcnn predict {run} photo.jpg"),
    ("predict {run} none.png --top 0", "Invalid value for '--top'", "Try: allcnn predict --help"),
    ("params a --input 3x", '--input "3x": expected a size in pixels such as 64, 64x48 or 64,48,3.'),
    ("params a --classes 0", "the number of classes must be a whole number from 1 to 65,536; got 0"),
    ("params strided-d", 'unknown network "strided-d". Did you mean strided-'),
    ("params 96C3-96Q3-GAP", 'token 2 "96Q3" (character 6): not a layer.'),
    ("data digit", "unknown data set 'digit'", "Did you mean digits?", "--data-dir"),
    ("data digits --samples", "Option '--samples' requires an argument.", "Try: allcnn data --help"),
    ("data digits --backend torch", 'unknown backend "torch"; expected one of: tensorflow, jax.'),
    ("data digits --preprocessing gcn", "--preprocessing is for --samples FILE.png, which was not given."),
    ("data digits --samples sheet.jpg", "--samples sheet.jpg: expected the name of a .png file"),
    ("data digits --samples no/s.png", "--samples no/s.png: expected", "in a folder that exists."),
    (
        f"{SAMPLES} --preprocessing zca",
        'unknown preprocessing "zca"; expected one of: gcn-zca',
        "Did you mean gcn-zca?",
    ),
    (f"{SAMPLES} --field 64", "--field is for augmented samples; expected --augment flip-shift"),
    (f"{SAMPLES} --augment crop", 'no augmentation "crop" to show; expected one of: flip-shift'),
    (f"{SAMPLES} --augment large --field 20", "a field of 20 x 20 pixels", "at least 32 (--field)"),
    ("bench --model a --spec NFC", "both --model and --spec were given; expected one of them."),
    ("bench --seconds nan", "the seconds to measure for must be a number above 0, such as 20; got nan."),
    ("bench --augment crop", 'unknown augmentation "crop"; expected one of: none, flip-shift'),
    (SWEEP, "no network was given; expected --models paper, review"),
    (f"{SWEEP} --models all-d", 'unknown network "all-d"'),
    (f"{SWEEP} --models a --lrs fast", '--lrs "fast": expected numbers joined by commas'),
    (f"{SWEEP} --models a --jobs 0", "runs are made 1, 2, ... at a time; got 0"),
    (f"{SWEEP} --models a --jobs 2 --ray", "both --jobs and --ray were given"),
    (f"{SWEEP} --models a --gpus-per-run 1", "only Ray gives runs CPUs and GPUs; expected --ray"),
    (f"{SWEEP} --models a --backend torch", 'unknown backend "torch"'),
    (f"{SWEEP} --models a --validation 2", "the held-out fraction must be"),
    ("visualize {run} -o out --layer conv9", 'the model has no layer "conv9"'),
    (
        "visualize {run} -o out --layer conv1 --units 8",
        "the units are [8]; expected a list of whole numbers from 0 to 7.",
    ),
    ("visualize {run} -o out --layer conv1 --units x", 'cannot read the units "x"; expected numbers such as 0-9'),
    (
        "visualize {run} -o out --layer conv1 --method guidd",
        'unknown method "guidd"; expected one of: backpropagation',
        "Did you mean guided?",
    ),
    ("visualize {run} -o out --figures 7", 'unknown figure "7"; expected one of: 2, 3, 4, 5, 6, review-3, review-4.'),
    ("visualize {run} -o out --figures 2 --layer conv1", "--figures goes with neither --layer nor --image"),
    ("visualize {run} -o out --image missing.png", "missing.png"),
    ("report", "Missing argument"),
    ("report no", "no: no such folder"),
    ("report {pictures}", "{pictures}: holds no run; a run's folder has a config.json."),
    ("report {run} --table 5", '--table "5"; expected one of: 3, 4, review, lr.'),
    ("report {run} --format html", '--format "html"; expected one of: terminal, markdown, latex, csv, json.'),
    ("report {run} --json --format csv", "--json and --format csv contradict each other"),
    ("report {run} -o t.doc", "t.doc: its form is not known by its name; expected .md, .tex, .csv, .json"),
    ("export {run}", "Missing option '--format'.", "Try: allcnn export --help"),
    (
        "export {run} --format onx",
        'unknown format "onx"; expected one of: onnx, saved_model, litert, card.',
        "Did you mean onnx?",
    ),
    ("export none.keras --format onnx", "none.keras: no such file; expected a .keras file or a run folder."),
    ("export {run} --format litert -o there.tflite", "there.tflite: is there already. Remove it", "(--output)"),
    ("export {run} --format litert -o no/m.tflite", "no: there is no such folder; expected one that exists"),
]


@pytest.mark.parametrize(("call", "pieces"), [(call, pieces) for call, *pieces in CALLS], ids=[row[0] for row in CALLS])
def test_a_wrong_call_is_refused_in_a_line_or_two_and_writes_nothing(
    allcnn, digits_run, picture_folder, tmp_path, monkeypatch, call, pieces
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.keras").write_text("not a model")
    Path("there.tflite").touch()
    before = sorted(tmp_path.rglob("*")), sorted(digits_run.rglob("*"))

    places = {"run": digits_run, "pictures": picture_folder}
    outcome = allcnn(*(word.format(**places) for word in call.split()))
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert outcome.err.startswith("error: ") and len(outcome.err.splitlines()) <= 2
    for piece in pieces:
        assert piece.format(**places) in outcome.err
    assert (sorted(tmp_path.rglob("*")), sorted(digits_run.rglob("*"))) == before
