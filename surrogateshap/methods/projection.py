"""Random projections of gradients, of which no more than a block is ever in memory.

They keep inner products (Johnson & Lindenstrauss 1984): TRAK's are of random signs (Park et al. 2023),
D-TRAK's of normal numbers (Zheng et al. 2024). `sparse` has four signs per parameter (Kane & Nelson 2014,
their block construction): as exact, and its cost doesn't grow with the dimension.

TRAK's own library, traker, is not used: without its CUDA extension, which needs a compiler, its projection holds
100 numbers per parameter at a time and draws all of them again for each batch, and it keeps its results in files of its
own where pieces here must survive any kill.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from surrogateshap.text import digest

Kind = Literal["sparse", "rademacher", "normal"]
_SIGNS = 4
_ENTRIES = 1 << 22
"""Of a matrix, drawn at once: 16 MiB."""
_PARAMETERS = 1 << 20
"""Of which a sparse matrix's signs are drawn at once."""


class Projection:
    """From the parameters of a model, (P,), to (k,). The same numbers on every device and for every batch.

    A model with no more than k parameters is left as it is.
    """

    def __init__(self, sizes: Mapping[str, int], kind: Kind, dimension: int, seed: int) -> None:
        """`sizes` are numbers of parameters by name."""
        self._sizes, self._kind, self._seed = dict(sorted(sizes.items())), kind, seed
        whole = sum(self._sizes.values())
        self._plain = whole <= dimension
        self.dimension = whole if self._plain else dimension

    def project(self, gradients: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(N, k) float32, of gradients (N, ...) by parameter."""
        flat = {name: gradients[name].flatten(1).float() for name in self._sizes}
        if self._plain:
            return torch.cat(list(flat.values()), dim=1)
        rows, device = next((len(each), each.device) for each in flat.values())
        out = torch.zeros((self.dimension, rows), device=device)
        for name, each in flat.items():
            add = self._add_sparse if self._kind == "sparse" else self._add_dense
            add(name, each.T, out)
        return out.T.contiguous()

    def _add_sparse(self, name: str, gradients: torch.Tensor, out: torch.Tensor) -> None:
        """Every parameter goes to one place of each of four equal parts, with a random sign."""
        edges = np.linspace(0, self.dimension, _SIGNS + 1).astype(int)
        for start in range(0, len(gradients), _PARAMETERS):
            some = gradients[start : start + _PARAMETERS] / _SIGNS**0.5
            drawn = self._generator(name, start)
            for low, high in pairwise(edges):
                place = torch.from_numpy(drawn.integers(low, high, len(some))).to(out.device)
                out.index_add_(0, place, some * _signs(drawn, (len(some), 1)).to(out.device))

    def _add_dense(self, name: str, gradients: torch.Tensor, out: torch.Tensor) -> None:
        """In blocks of all k columns."""
        step = max(1, _ENTRIES // self.dimension)
        for start in range(0, len(gradients), step):
            some, drawn = gradients[start : start + step], self._generator(name, start)
            shape = (self.dimension, len(some))
            normal = self._kind == "normal"
            block = torch.from_numpy(drawn.standard_normal(shape, np.float32)) if normal else _signs(drawn, shape)
            out.addmm_(block.to(out.device), some, alpha=self.dimension**-0.5)

    def _generator(self, name: str, start: int) -> np.random.Generator:
        parts = {"seed": self._seed, "parameter": name, "start": start, "kind": self._kind, "k": self.dimension}
        return np.random.default_rng(int(digest(parts), 16))


def _signs(drawn: np.random.Generator, shape: tuple[int, int]) -> torch.Tensor:
    """1 and −1 at random, one bit each."""
    count = shape[0] * shape[1]
    bits = np.unpackbits(np.frombuffer(drawn.bytes(-(-count // 8)), np.uint8), count=count)
    return torch.from_numpy(bits).float().mul_(2).sub_(1).reshape(shape)
