"""What a network learned: the filters of its first convolution, and the patches that excite a middle layer most."""

from __future__ import annotations

import numpy as np

from allcnn.page.images import image, sheet
from allcnn.page.looked import Looked
from allcnn.page.markup import Html, escape, join, paragraph

#: Units and images of the strongest patches, and how many test images they are looked for in.
UNITS, TOP, SEEN = 6, 6, 2000
# Units are looked at in order until so many; those that nothing excites are passed over.
_CANDIDATES = 16
_COLUMNS = 16


def filters(looked: Looked) -> Html:
    """The filters of the first convolution. Raises InputError for a network that has none."""
    from allcnn.visualize.figures import as_grid, signal_pictures
    from allcnn.visualize.paper import TrainedNetwork

    first = TrainedNetwork(looked.saved).convolutions[:1]
    if not first:
        return paragraph("The network has no convolution.", "missing")
    kernel = np.moveaxis(looked.saved.model.get_layer(first[0]).get_weights()[0], 3, 0)
    if kernel.shape[-1] != 3:
        return paragraph(f"The filters of {first[0]} are not of three colours.", "missing")
    size = f"{kernel.shape[1]}x{kernel.shape[2]}"
    picture = image(sheet(as_grid(signal_pictures(kernel), _COLUMNS)), f"filters of {first[0]}")
    return Html(
        f"<h4>Filters of {escape(first[0])}</h4>"
        f'<figure class="filters">{picture}<figcaption>{len(kernel)} filters of {size}; grey is zero, each on its own '
        "scale. They see the preprocessed image.</figcaption></figure>"
    )


def strongest(looked: Looked) -> Html:
    """The strongest patches of a middle layer's units, and what guided backpropagation brings back from them.

    Raises:
        InputError: the network is not one that signals can be sent back through.
    """
    from allcnn.visualize.attribution import Attributor
    from allcnn.visualize.figures import image_pictures, signal_pictures
    from allcnn.visualize.paper import TrainedNetwork
    from allcnn.visualize.patches import strongest_patches

    network = TrainedNetwork(looked.saved)
    layer = network.middle_layers()[0]
    images = looked.images[:SEEN]
    units = range(min(_CANDIDATES, Attributor(network.model, layer, "guided", network.preprocessing).units))

    def shown(maps: np.ndarray) -> np.ndarray:
        return np.concatenate([maps, network.in_picture_space(maps)], axis=-1) if network.is_whitened else maps

    top = min(TOP, len(images))
    found = strongest_patches(network.model, images, layer, top, units, "guided", network.preprocessing, picture=shown)
    assert found.reconstructions is not None  # noqa: S101  (a method was given)
    blank = np.where(~found.inside[..., None], np.nan, 0.0).astype(np.float32)
    rows = [image_pictures(found.patches) + blank]
    rows += [
        signal_pictures(found.reconstructions[..., at : at + 3]) + blank for at in (0, 3)[: 1 + network.is_whitened]
    ]
    firing = [index for index in range(len(found.units)) if found.activations[index, 0] > 0][:UNITS]
    if not firing:
        return paragraph(f"None of the first {len(found.units)} units of {layer} responds to any image.", "missing")
    pictures = [
        Html(
            f"<figure>{image(sheet(np.stack([row[index] for row in rows])), f'patches of unit {found.units[index]}')}"
            f"<figcaption>unit {found.units[index]}: activations {found.activations[index, 0]:.3g} to "
            f"{found.activations[index, -1]:.3g}</figcaption></figure>"
        )
        for index in firing
    ]
    height, width = found.field.size
    below = "what guided backpropagation brings back from the unit"
    if network.is_whitened:
        below += ", at the network's input, which is whitened, and un-whitened"
    silent = "" if len(firing) == min(UNITS, len(found.units)) else " Units that no image excites are left out."
    return Html(
        f"<h4>Strongest patches of {escape(layer)}</h4>"
        + paragraph(
            f"The {top} of the first {len(images):,} test images that excite a unit most, cut to its receptive field "
            f"of {height}x{width} pixels; below each, {below}. Grey is zero. Much of the likeness is the image's own "
            f"edges, whatever was learned.{silent}",
            "lead",
        )
        + f'<div class="units">{join(pictures)}</div>'
    )
