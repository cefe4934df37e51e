"""A trained Keras model + images -> pictures of what its units respond to (the paper's section 3.4).

from allcnn.visualize import guided_backpropagation
signal = guided_backpropagation(model, images, units=3, layer="conv5").maps
"""

from allcnn.visualize.altered import with_random_weights as with_random_weights
from allcnn.visualize.altered import with_switches as with_switches
from allcnn.visualize.attribution import Attribution as Attribution
from allcnn.visualize.attribution import Attributor as Attributor
from allcnn.visualize.attribution import backpropagation as backpropagation
from allcnn.visualize.attribution import deconvnet as deconvnet
from allcnn.visualize.attribution import guided_backpropagation as guided_backpropagation
from allcnn.visualize.compare import compare_methods as compare_methods
from allcnn.visualize.compare import single_unit_patterns as single_unit_patterns
from allcnn.visualize.draw import draw_saved as draw_saved
from allcnn.visualize.patches import Patches as Patches
from allcnn.visualize.patches import strongest_patches as strongest_patches
from allcnn.visualize.receptive import receptive_field as receptive_field
