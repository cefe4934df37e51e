"""Images in: CIFAR, folders of images, the digits. Knows nothing of networks."""

from allcnn.data.dataset import Dataset
from allcnn.data.images import read_image
from allcnn.data.load import DATASETS, load_data

__all__ = ["DATASETS", "Dataset", "load_data", "read_image"]
