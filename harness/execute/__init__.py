"""Training of a plan's stages, in this process or in several worker processes."""
