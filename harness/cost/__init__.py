"""What a model costs: multiplications under named conventions, parameters, latency."""
