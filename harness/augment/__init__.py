"""Batched augmentations of images and masks; random draws come from the caller's generator."""
