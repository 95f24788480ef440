"""The methods that the paper compares with, one module each; the stem is the method's name."""
