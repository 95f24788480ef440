"""Augmentations of images and masks, drawn from a generator that is passed in."""
