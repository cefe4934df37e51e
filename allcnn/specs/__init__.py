"""Text <-> network: the spec language, derived networks, arithmetic and the published networks, in pure Python."""

from allcnn.specs.derive import all_convolutional as all_convolutional
from allcnn.specs.derive import convpool as convpool
from allcnn.specs.derive import strided as strided
from allcnn.specs.layers import ACTIVATIONS as ACTIVATIONS
from allcnn.specs.layers import Activation as Activation
from allcnn.specs.layers import Conv as Conv
from allcnn.specs.layers import Dense as Dense
from allcnn.specs.layers import Dropout as Dropout
from allcnn.specs.layers import GlobalAverage as GlobalAverage
from allcnn.specs.layers import Layer as Layer
from allcnn.specs.layers import Norm as Norm
from allcnn.specs.layers import Padding as Padding
from allcnn.specs.layers import Pool as Pool
from allcnn.specs.layers import Spec as Spec
from allcnn.specs.shapes import Axis as Axis
from allcnn.specs.shapes import LayerShape as LayerShape
from allcnn.specs.shapes import count_multiply_adds as count_multiply_adds
from allcnn.specs.shapes import count_parameters as count_parameters
from allcnn.specs.shapes import layer_names as layer_names
from allcnn.specs.shapes import layer_shapes as layer_shapes
from allcnn.specs.zoo import ZOO as ZOO
from allcnn.specs.zoo import Network as Network
from allcnn.specs.zoo import PublishedError as PublishedError
from allcnn.specs.zoo import list_models as list_models
from allcnn.specs.zoo import parse as parse
from allcnn.specs.zoo import resolve as resolve
