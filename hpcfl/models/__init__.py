"""The models that ship with hpcfl: sized by the dataset, written as plainly as the papers draw them."""

from hpcfl.models.charcnn import CharCNN3, CharCNN4, CharCNN5, CharCNN6
from hpcfl.models.initial import INITIALISERS
from hpcfl.models.resnet import ResNet20, ResNet32, ResNet44, ResNet56
from hpcfl.models.signal import CNN1d
from hpcfl.models.small import CNN, MLP, DropoutCNN, LeNet5
from hpcfl.models.text import CharLSTM
from hpcfl.models.vdcnn import VDCNN9, VDCNN17, VDCNN29, VDCNN49
from hpcfl.models.vgg import VGG11, VGG13, VGG16, VGG19

__all__ = ["CNN", "FAMILIES", "INITIALISERS", "MLP", "MODELS", "CNN1d", "CharLSTM", "DropoutCNN", "LeNet5"]

FAMILIES = {
    "vgg": {"vgg11": VGG11, "vgg13": VGG13, "vgg16": VGG16, "vgg19": VGG19},
    "resnet": {"resnet20": ResNet20, "resnet32": ResNet32, "resnet44": ResNet44, "resnet56": ResNet56},
    "charcnn": {"charcnn3": CharCNN3, "charcnn4": CharCNN4, "charcnn5": CharCNN5, "charcnn6": CharCNN6},
    "vdcnn": {"vdcnn9": VDCNN9, "vdcnn17": VDCNN17, "vdcnn29": VDCNN29, "vdcnn49": VDCNN49},
}
"""Versions of one network by depth, as clients of different means have them (Wang et al. 2023): V1 to V4."""

MODELS = {
    "mlp": MLP,
    "lenet5": LeNet5,
    "cnn": CNN,
    "cnn_dropout": DropoutCNN,
    "cnn1d": CNN1d,
    "char_lstm": CharLSTM,
    **FAMILIES["vgg"],
    **FAMILIES["resnet"],
    **FAMILIES["charcnn"],
    **FAMILIES["vdcnn"],
}
"""Short names. Each is called as `model(shape, classes, **params)`; one that has the parameter `tokens` reads text, and
is called as `model(shape, classes, tokens, **params)` with the size of the alphabet."""
