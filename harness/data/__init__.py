"""Data sets: official archives read once into one uint8 array a data set."""
