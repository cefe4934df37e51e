"""How fast a network trains and predicts here, against what this machine can do at all.

`benchmark` measures through the real pipeline, that of `allcnn.train` and `allcnn.evaluate`, on images of noise. The
function has the name of its room, so it is not one of `allcnn`'s own: `from allcnn.benchmark import benchmark`.
"""

from allcnn.benchmark.ceiling import Product as Product
from allcnn.benchmark.durations import RecipeTime as RecipeTime
from allcnn.benchmark.noise import noise_dataset as noise_dataset
from allcnn.benchmark.noise import noise_images as noise_images
from allcnn.benchmark.result import BenchmarkResult as BenchmarkResult
from allcnn.benchmark.result import Speed as Speed
from allcnn.benchmark.run import benchmark as benchmark
