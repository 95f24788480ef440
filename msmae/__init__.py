"""MSMAE and the ViT, masking, fine-tuning and segmentation code that ViT baselines share."""

if __name__ == "msmae":
    raise ImportError(
        "msmae is imported as harness.methods.msmae; plug-ins import from harness.api",
        name=__name__,
    )
