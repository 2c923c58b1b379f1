"""Spec to Plan: pure. What would run, in which stages, at which cost, and what of it is there already."""
