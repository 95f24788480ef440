"""Masked image modelling and the paper's method; baselines build on its parts."""

if __name__ == "msmae":
    raise ImportError(
        "msmae is imported as harness.methods.msmae; plug-ins import from harness.api",
        name=__name__,
    )
