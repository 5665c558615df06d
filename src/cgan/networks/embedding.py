"""Classes as vectors: one table per factor, so that combinations share what they have in common."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Classes = int | Sequence[int]
"""The number of classes K; or the lengths of the factors whose combinations are the classes, as in ``DataSpec``."""


def factors_of(classes: Classes) -> tuple[int, ...]:
    """Return the lengths of the factors: one factor of length K for a plain number of classes."""
    return (classes,) if isinstance(classes, int) else tuple(classes)


class ClassEmbedding(nn.Embedding):
    """Look up class vectors: (N,) int64 labels -> (N, dim); with several factors the sum of one vector per factor.

    A class that is a combination, such as one of the 1,000 stacks of three digits, has few images of its own; its
    factors have many. All tables lie one after another in ``weight`` (sum of the factors' lengths, dim). A class's
    vector starts as N(0, 1), whatever the number of factors.

    Args:
        classes: The number of classes, or the lengths of the factors; the last factor changes fastest in a label.
        dim: Length of a vector.
    """

    def __init__(self, classes: Classes, dim: int) -> None:
        self.factors = factors_of(classes)
        super().__init__(sum(self.factors), dim)

    def reset_parameters(self) -> None:
        """Draw the tables from N(0, 1 / number of factors)."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(len(self.factors)))

    def forward(self, labels: Tensor) -> Tensor:
        """Look up the classes: (N,) int64 -> (N, dim)."""
        if len(self.factors) == 1:
            return super().forward(labels)
        rows = [
            labels // math.prod(self.factors[place + 1 :]) % length + sum(self.factors[:place])
            for place, length in enumerate(self.factors)
        ]
        return super().forward(torch.stack(rows, dim=-1)).sum(dim=-2)
