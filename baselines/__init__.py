"""The methods that the paper compares with, one module each; the stem is the method's name."""

if __name__ == "baselines":
    raise ImportError(
        "baselines is imported as harness.methods.baselines; plug-ins import from harness.api",
        name=__name__,
    )
