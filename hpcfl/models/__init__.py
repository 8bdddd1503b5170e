"""The models that ship with hpcfl: sized by the dataset, written as plainly as the papers draw them."""

from hpcfl.models.signal import CNN1d
from hpcfl.models.small import CNN, MLP, DropoutCNN, LeNet5
from hpcfl.models.text import CharLSTM

__all__ = ["CNN", "MLP", "MODELS", "CNN1d", "CharLSTM", "DropoutCNN", "LeNet5"]

MODELS = {
    "mlp": MLP,
    "lenet5": LeNet5,
    "cnn": CNN,
    "cnn_dropout": DropoutCNN,
    "cnn1d": CNN1d,
    "char_lstm": CharLSTM,
}
"""Short names. Each is called as `model(shape, classes, **params)`; one that has the parameter `tokens` reads text, and
is called as `model(shape, classes, tokens, **params)` with the size of the alphabet."""
