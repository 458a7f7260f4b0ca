"""Exports a small velocity network with LoRA inside as TorchScript: python export_velocity.py FOLDER CAPTION..."""

import json, math, pathlib, sys, torch
from safetensors.torch import save_file
from torch import nn


class LoraLinear(nn.Linear):
    def __init__(self, inputs: int, outputs: int, rank: int = 4):
        super().__init__(inputs, outputs)
        self.lora_A = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, h):
        return nn.functional.linear(h, self.weight + self.lora_B @ self.lora_A, self.bias)


class Velocity(nn.Module):  # of images [B, 3, 16, 16]: 16 patches, mixed with one another and then each by itself
    def __init__(self, captions: int, width: int = 64, depth: int = 4):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, width, 4, 4), nn.Linear(width, 48)
        self.places, self.captions = nn.Parameter(torch.randn(16, width) / 2), nn.Embedding(captions + 1, width)
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, 2 * width))
        layers = lambda inside, hidden: nn.Sequential(LoraLinear(inside, hidden), nn.GELU(), LoraLinear(hidden, inside))
        self.mix = nn.ModuleList(layers(16, 64) for _ in range(depth))
        self.each = nn.ModuleList(layers(width, 4 * width) for _ in range(depth))

    def forward(self, x, t, label):
        shift, scale = (self.time(t[:, None]) + self.captions(label).repeat(1, 2))[:, None].chunk(2, 2)
        h = self.patches(x).flatten(2).transpose(1, 2) + self.places
        for mix, each in zip(self.mix, self.each):
            h = h + mix(nn.functional.layer_norm(h + shift, h.shape[2:]).transpose(1, 2)).transpose(1, 2)
            h = h + each(nn.functional.layer_norm(h, h.shape[2:]) * (1 + scale) + shift)
        return nn.functional.pixel_shuffle(self.head(h).transpose(1, 2).unflatten(2, (4, 4)), 4)


if __name__ == "__main__":
    folder, captions = pathlib.Path(sys.argv[1]), sys.argv[2:]
    torch.jit.script(Velocity(len(captions))).save(folder / "velocity.pt")
    files = {caption: f"{label}.safetensors" for label, caption in enumerate([*captions, ""])}  # "" is no caption
    for label, file in enumerate(files.values()):
        save_file({"label": torch.tensor(label)}, folder / file)
    (folder / "conditioning.json").write_text(json.dumps(files))
