"""The stacked LSTM that guesses the next character."""

from __future__ import annotations

from torch import Tensor, nn

from hpcfl.models.small import Shape


class CharLSTM(nn.Module):
    """Characters embedded in few dimensions, two LSTM layers, a linear layer after the last character (Caldas 2018).

    McMahan et al. 2017 describe the same network. Samples are int64 tokens (length,), 0 to tokens - 1.
    """

    def __init__(self, shape: Shape, classes: int, tokens: int, embedding: int = 8, hidden: int = 256, layers: int = 2):
        super().__init__()
        if not tokens:
            raise ValueError(f"it reads text, but samples of shape {tuple(shape)} are no tokens")
        self.embedding = nn.Embedding(tokens, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, length) tokens to (B, classes) logits."""
        states, _ = self.lstm(self.embedding(x))
        return self.head(states[:, -1])
