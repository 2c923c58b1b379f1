"""Ways to say what contributors are worth, behind one protocol."""
