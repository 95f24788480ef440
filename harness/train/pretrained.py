"""Finds timm's pretrained weights in its cache; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError, unknown

FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.safetensors")
"""Names of a model's file of weights in a repository of the Hugging Face hub."""


def cached(name: str) -> Path:
    """Return the file of timm's pretrained weights of a name such as "vit_base_patch16_224.mae".

    Raises:
        UserError: timm has no such model, no weights of it, or they are not in the cache.
    """
    import timm
    import torch
    from huggingface_hub import try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    known = set(timm.list_models()) | set(timm.list_pretrained())
    if name not in known:
        raise unknown("model of timm", name, known)
    config = get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"timm has no pretrained weights of {name}; name others, or give a file.")
    if config.hf_hub_id:
        for file in FILES:
            found = try_to_load_from_cache(config.hf_hub_id, file)
            if isinstance(found, str):
                return Path(found)
    if config.url:
        path = Path(torch.hub.get_dir(), "checkpoints", str(config.url).rpartition("/")[2])
        if path.is_file():
            return path
    raise UserError(
        f"timm's weights of {name} are not in its cache, and nothing is downloaded here; get them"
        f" with python -c \"import timm; timm.create_model('{name}', pretrained=True)\" where there"
        " is a network, or give the path of a file."
    )
