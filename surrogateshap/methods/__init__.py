"""Methods that value contributors, each behind the protocol in `methods/protocol.py`, imported when it is asked for."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from surrogateshap.methods.protocol import Method

CATALOGUE: Mapping[str, str] = MappingProxyType(
    {
        "prompt_proxy": "ours",
        "image_proxy": "ours",
        "surrogateshap_paper": "published",
        "leave_one_out": "classical",
        "kernelshap": "classical",
        "permutation": "classical",
        "banzhaf": "classical",
        "pixel_similarity": "similarity",
        "clip_similarity": "similarity",
        "encoder_similarity": "similarity",
        "own_utility": "similarity",
        "nda": "patches",
        "trak": "trak",
        "d_trak": "trak",
        "journey_trak": "trak",
        "fine_tuning": "fine_tuning",
        "sparse_fine_tuning": "sparse_fine_tuning",
        "group_unlearning": "unlearning",
        "mirrored_unlearning": "unlearning",
    }
)
"""Method's name -> the module that has it among its METHODS, in the order in which they are shown."""


def load_method(name: str) -> Method:
    """The method of that name. Raises KeyError for another."""
    methods: tuple[Method, ...] = import_module(f"surrogateshap.methods.{CATALOGUE[name]}").METHODS
    return next(method for method in methods if method.name == name)
