"""The models that ship with hpcfl: sized by the dataset, written as plainly as the papers draw them."""

from hpcfl.models.small import CNN, MLP, LeNet5

__all__ = ["CNN", "MLP", "MODELS", "LeNet5"]

MODELS = {
    "mlp": MLP,
    "lenet5": LeNet5,
    "cnn": CNN,
}
"""Short names. Each is called as `model(shape, classes, **params)`."""
