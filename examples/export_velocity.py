import json, pathlib, sys, safetensors.torch, torch, torch.nn as nn


class LoraLinear(nn.Linear):
    def __init__(self, inputs: int, outputs: int, rank: int = 4):
        super().__init__(inputs, outputs)
        self.lora_A = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, h):
        return nn.functional.linear(h, self.weight + self.lora_B @ self.lora_A, self.bias)


class Velocity(nn.Module):  # of images [B, 3, 16, 16]: 16 patches, mixed with one another and then each by itself
    def __init__(self, captions: int, width: int = 64, depth: int = 4):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, width, 4, 4), nn.Linear(width, 48)
        self.places, self.captions = nn.Parameter(torch.randn(16, width) / 2), nn.Embedding(captions, width)
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


if __name__ == "__main__":  # python export_velocity.py FOLDER CAPTION... exports it as TorchScript
    folder, captions = pathlib.Path(sys.argv[1]), [*sys.argv[2:], ""]  # the last one is no caption
    torch.jit.script(Velocity(len(captions))).save(folder / "velocity.pt")
    for label in range(len(captions)):
        safetensors.torch.save_file({"label": torch.tensor(label)}, folder / f"{label}.safetensors")
    (folder / "conditioning.json").write_text(json.dumps({text: f"{i}.safetensors" for i, text in enumerate(captions)}))
