"""MAE pre-training as one would write it without the harness: the rival of ``bench.versus``.

Files are decoded by Pillow and augmented by torchvision in the workers of a DataLoader, epoch after
epoch; the model is MAE's published code (models_mae.py) in timm's blocks, with AdamW and a cosine
schedule. Nothing of the harness is imported. It stands alone: ``python bench/_plain.py OPTIONS``.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def positions(width, grid):
    """Return MAE's sine-cosine table with a row of zeros for [CLS], (1, 1 + grid², width)."""
    frequency = 1 / 10000 ** (torch.arange(width // 4) / (width / 4))
    angle = torch.arange(grid)[:, None] * frequency
    wave = torch.cat([angle.sin(), angle.cos()], 1)
    across, down = wave.repeat(grid, 1), wave.repeat_interleave(grid, 0)
    return torch.cat([torch.zeros(1, width), torch.cat([across, down], 1)])[None]


class MAE(nn.Module):
    """Masked autoencoder of models_mae.py, mean squared error of the masked patches."""

    def __init__(self, side, size, mask_ratio):
        super().__init__()
        width, inner = size["width"], size["decoder_width"]
        grid = side // size["patch"]
        self.patch, self.mask_ratio = size["patch"], mask_ratio
        self.embed = PatchEmbed(side, size["patch"], 3, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, inner))
        self.register_buffer("pos", positions(width, grid))
        self.register_buffer("decoder_pos", positions(inner, grid))
        self.blocks = nn.Sequential(
            *(Block(width, size["heads"], qkv_bias=True) for _ in range(size["depth"]))
        )
        self.norm = nn.LayerNorm(width)
        self.decoder_embed = nn.Linear(width, inner)
        self.decoder_blocks = nn.Sequential(
            *(
                Block(inner, size["decoder_heads"], qkv_bias=True)
                for _ in range(size["decoder_depth"])
            )
        )
        self.decoder_norm = nn.LayerNorm(inner)
        self.predict = nn.Linear(inner, size["patch"] ** 2 * 3)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)

    def patches(self, images):
        """Return (B, L, P * P * 3)."""
        count, _, side, _ = images.shape
        grid = side // self.patch
        cut = images.reshape(count, 3, grid, self.patch, grid, self.patch)
        return torch.einsum("nchpwq->nhwpqc", cut).reshape(count, grid**2, -1)

    def forward(self, images):
        """Return the loss of a batch (B, 3, H, W)."""
        tokens = self.embed(images) + self.pos[:, 1:]
        count, length, width = tokens.shape
        keep = int(length * (1 - self.mask_ratio))
        shuffled = torch.rand(count, length, device=images.device).argsort(1)
        restore = shuffled.argsort(1)
        kept = shuffled[:, :keep, None].expand(-1, -1, width)
        cls = (self.cls_token + self.pos[:, :1]).expand(count, -1, -1)
        tokens = self.norm(self.blocks(torch.cat([cls, tokens.gather(1, kept)], 1)))
        tokens = self.decoder_embed(tokens)
        masked = self.mask_token.expand(count, length - keep, -1)
        whole = torch.cat([tokens[:, 1:], masked], 1)
        whole = whole.gather(1, restore[..., None].expand(-1, -1, whole.shape[2]))
        whole = torch.cat([tokens[:, :1], whole], 1) + self.decoder_pos
        predicted = self.predict(self.decoder_norm(self.decoder_blocks(whole)))[:, 1:]
        mask = (restore >= keep).float()
        error = (predicted - self.patches(images)).square().mean(-1)
        return (error * mask).sum() / mask.sum()


def rate(epoch, options):
    """Return the learning rate at a fractional epoch: linear warm-up, then half a cosine."""
    if epoch < options.warmup:
        return options.lr * epoch / options.warmup
    done = (epoch - options.warmup) / max(options.epochs - options.warmup, 1)
    return options.lr * 0.5 * (1 + math.cos(math.pi * done))


def main():
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="a folder of classes")
    parser.add_argument("--size", type=json.loads, required=True, help="of the ViT, as JSON")
    for name in ("side", "batch", "epochs", "workers", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("lr", "warmup", "mask-ratio", "weight-decay"):
        parser.add_argument(f"--{name}", type=float, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                options.side, (0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        ImageFolder(options.images, augment),
        batch_size=options.batch,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        pin_memory=device == "cuda",
        drop_last=True,
    )
    model = MAE(options.side, options.size, options.mask_ratio).to(device)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.95))
    steps, ready = 0, time.perf_counter()
    for epoch in range(options.epochs):
        total = 0.0
        for step, (images, _) in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch + step / len(loader), options)
            images = images.to(device, non_blocking=True)
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = model(images)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
            steps += 1
        mean = float(total) / len(loader)
    end = time.perf_counter()
    print(
        json.dumps({"steps": steps, "loss": mean, "loop_s": end - ready, "inside_s": end - begin})
    )


if __name__ == "__main__":
    main()
