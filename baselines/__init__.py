"""The methods that the paper compares MSMAE with, one module per method and named after it."""

if __name__ == "baselines":
    raise ImportError(
        "baselines is imported as harness.methods.baselines; plug-ins import from harness.api",
        name=__name__,
    )
