"""Games: what a coalition is worth on a pool of images, for every grouping and utility, without new images."""

from surrogateshap.games.encoded import Encoded
from surrogateshap.games.fresh import FreshGame
from surrogateshap.games.membership import Membership, coalition_shares
from surrogateshap.games.mixture import MixtureGame
from surrogateshap.games.utilities import Utility, make_utility

__all__ = ["Encoded", "FreshGame", "Membership", "MixtureGame", "Utility", "coalition_shares", "make_utility"]
