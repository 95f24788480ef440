"""The training on a CUDA device that does not exist: shapes, devices and launches, no values."""
