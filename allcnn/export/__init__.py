"""A saved model -> what other runtimes load: ONNX, TensorFlow's SavedModel, LiteRT.

from allcnn.export import export_model
export_model("runs/tiny", "onnx").path
"""

from allcnn.export.model import FORMATS as FORMATS
from allcnn.export.model import Export as Export
from allcnn.export.model import Tensor as Tensor
from allcnn.export.model import export_model as export_model
