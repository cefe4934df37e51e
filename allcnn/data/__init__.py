"""Images in: CIFAR, folders of images, the digits. Knows nothing of networks."""

from allcnn.data.dataset import Dataset
from allcnn.data.images import fit_to_size, read_image
from allcnn.data.load import DATASETS, load_data

__all__ = ["DATASETS", "Dataset", "fit_to_size", "load_data", "read_image"]
