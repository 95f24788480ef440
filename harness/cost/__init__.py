"""Cost of models: multiplications under named conventions, parameters, memory."""
