"""The All Convolutional Net (Springenberg et al., 2014) in Keras 3."""
