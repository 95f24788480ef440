"""Training: tasks, images in memory, the loop and the optimiser."""
