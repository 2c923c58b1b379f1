"""Shapley values from tables of coalitions and their values, whoever made them."""

from surrogateshap.tables.coalitions import CoalitionTable, from_arrays, from_frame
from surrogateshap.tables.read import read_frame, read_rows
from surrogateshap.tables.result import estimate_table

__all__ = ["CoalitionTable", "estimate_table", "from_arrays", "from_frame", "read_frame", "read_rows"]
