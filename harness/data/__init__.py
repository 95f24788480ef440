"""Data sets: official archives, decoded once into one uint8 array per data set."""
