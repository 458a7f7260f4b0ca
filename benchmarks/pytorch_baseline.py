"""The baseline: the iteration of native/bench/bench_iteration.cpp as one would write it in plain PyTorch, on the same
weights, and the matching step composed from operators with and without torch.compile. Prints JSON lines.

    pytorch_baseline.py iteration MODEL THREADS ITERATIONS BATCH WEIGHTS.safetensors
    pytorch_baseline.py step THREADS SECONDS ELEMENTS
"""

import json
import math
import resource
import struct
import sys
import time

import torch
import torch.nn.functional as F

MODELS = {  # image size, channels, patch, width, depth, heads, classes
    "digits": (28, 1, 4, 128, 6, 4, 10),
    "tiny": (8, 1, 4, 16, 2, 2, 3),
    "transformer": (32, 3, 4, 768, 12, 12, 1000),
}


def load(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        dtypes = {"F32": torch.float32, "I64": torch.int64}
        tensors = {}
        for name, entry in header.items():
            file.seek(8 + length + entry["data_offsets"][0])
            data = bytearray(file.read(entry["data_offsets"][1] - entry["data_offsets"][0]))
            tensors[name] = torch.frombuffer(data, dtype=dtypes[entry["dtype"]]).reshape(entry["shape"])
        return tensors


class Transformer:
    def __init__(self, name, tensors):
        self.size, self.channels, self.patch, self.width, self.depth, self.heads, self.classes = MODELS[name]
        self.tensors = tensors
        self.adapters = [tensor.requires_grad_() for key, tensor in tensors.items() if ".lora_" in key]
        self.frequencies = torch.exp(torch.arange(128, dtype=torch.float64) * (-math.log(1e4) / 128)).float()
        n, quarter = self.size // self.patch, self.width / 4
        f = 2 * torch.exp(torch.arange(self.width // 4, dtype=torch.float64) * (-math.log(10.0) / quarter))
        index = torch.arange(n, dtype=torch.float64)
        angles = [torch.outer(position, f) for position in (index.repeat(n), index.repeat_interleave(n))]
        self.positions = torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], 1).float()

    def linear(self, name, x, adapted):
        w = self.tensors
        y = F.linear(x, w[name + ".weight"], w[name + ".bias"])
        if adapted and name + ".lora_A.weight" in w:
            y = y + 2.0 * F.linear(F.linear(x, w[name + ".lora_A.weight"]), w[name + ".lora_B.weight"])
        return y

    def norm(self, x, shift, scale):
        return F.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale) + shift

    def __call__(self, x, t, labels, adapted=True):
        def layer(name, h):
            return self.linear(name, h, adapted)

        batch, n, p = x.shape[0], self.size // self.patch, self.patch
        angles = torch.outer(t * 1000, self.frequencies)
        waves = torch.cat([angles.cos(), angles.sin()], 1)
        embedded = layer("time_embed.fc2", F.silu(layer("time_embed.fc1", waves)))
        condition = F.silu(embedded + F.embedding(labels, self.tensors["label_embed.weight"]))
        patches = x.reshape(batch, self.channels, n, p, n, p).permute(0, 2, 4, 1, 3, 5).reshape(batch, n * n, -1)
        h = layer("patch_embed", patches) + self.positions
        for i in range(self.depth):
            block = f"blocks.{i}."
            m = layer(block + "modulation", condition).unsqueeze(1).chunk(6, 2)
            qkv = layer(block + "attn.qkv", self.norm(h, m[0], m[1]))
            q, k, v = qkv.view(batch, n * n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, n * n, self.width)
            h = h + m[2] * layer(block + "attn.proj", mixed)
            inner = F.gelu(layer(block + "mlp.fc1", self.norm(h, m[3], m[4])), approximate="tanh")
            h = h + m[5] * layer(block + "mlp.fc2", inner)
        m = layer("final.modulation", condition).unsqueeze(1).chunk(2, 2)
        out = layer("final.linear", self.norm(h, m[0], m[1]))
        return out.view(batch, n, n, self.channels, p, p).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def target_coefficients(t, terminal, C):
    """Of x_t, Y and G in the regression target; docs/mathematics.md."""
    kappa = 2 * C - 1
    q = t * t * kappa + (1 - t) ** 2
    kappa_terminal = terminal**2 * kappa + (1 - terminal) ** 2
    scaled = (1 - t) / (terminal * q)
    return 1 / t - (1 - t) / (t * q), scaled, scaled * kappa_terminal


def noise_scale(t, terminal):
    return ((1 - t) ** 2 - (t / terminal * (1 - terminal)) ** 2).clamp_min(0).sqrt()


def iteration(name, threads, iterations, batch, path):
    iterations, batch = int(iterations), int(batch)
    torch.set_num_threads(int(threads))
    tensors = load(path)
    check = {key: tensors.pop("check." + key) for key in ("x", "t", "labels", "velocity")}
    model = Transformer(name, tensors)
    with torch.no_grad():
        found = model(check["x"], check["t"], check["labels"])
    error = ((found - check["velocity"]).abs().max() / check["velocity"].abs().max()).item()
    if not error < 1e-4:
        sys.exit(f"the baseline's network differs from the native one by {error:.2g}, relative to the largest velocity")
    print(json.dumps({"velocityError": error}))

    shape, labels = (batch, model.channels, model.size, model.size), torch.arange(batch) % model.classes
    delta, steps, renoisings, C = 0.1, 4, 2, 1.0
    terminal = 1 - delta
    optimizer = torch.optim.AdamW(model.adapters, lr=1e-4, betas=(0.9, 0.99), weight_decay=0, fused=True)
    averages = [p.detach().clone() for p in model.adapters]
    for i in range(-1, iterations):  # the first one warms up
        begin = time.perf_counter()
        with torch.no_grad():
            x, h = torch.randn(shape), terminal / steps
            for k in range(steps):  # Heun
                first = model(x, torch.full((batch,), k * h), labels)
                second = model(x + h * first, torch.full((batch,), (k + 1) * h), labels)
                x = x + h / 2 * (first + second)
            velocity = model(x, torch.full((batch,), terminal), labels, adapted=False)
            image = (x + delta * velocity + 1) / 2
            G = (0.5 - image) / 2 + (terminal * velocity - x) / delta
            y, G, rows = (z.repeat_interleave(renoisings, 0) for z in (x, G, labels))
            t = terminal * (torch.arange(renoisings).repeat(batch) + torch.rand(batch * renoisings)) / renoisings
            column = t.view(-1, 1, 1, 1)
            x_t = column / terminal * y + noise_scale(column, terminal) * torch.randn(y.shape)
            cx, cy, cg = target_coefficients(column, terminal, C)
            target = cx * x_t + cy * y + cg * G
        loss = (model(x_t, t, rows) - target).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.adapters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(averages, [p.detach() for p in model.adapters], 0.01)
        if i >= 0:
            print(json.dumps({"total": time.perf_counter() - begin}))
    print(json.dumps({"peakBytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def matching_step(v, x1, G, e, s, cx, cy, cg):
    x_t = e * x1 + s * torch.randn_like(x1)
    difference = v - (cx * x_t + cy * x1 + cg * G)
    return x_t, difference.square().mean(1), difference * (2 / difference.numel())


def step(threads, seconds, elements):
    torch.set_num_threads(int(threads))
    v, x1, G = (torch.randn(8, int(elements) // 8) for _ in range(3))
    t = torch.arange(1, 9).div(10).unsqueeze(1)
    arguments = (v, x1, G, t / 0.9, noise_scale(t, 0.9), *target_coefficients(t, 0.9, 0.8))
    variants = {"pytorch": matching_step}
    with torch.no_grad():
        try:
            compiled = torch.compile(matching_step)
            compiled(*arguments)
            variants["torch.compile"] = compiled
        except Exception as error:  # no compiler, no headers: said, and left out
            print(json.dumps({"skipped": "torch.compile: " + (str(error).strip().splitlines() or ["failed"])[0]}))
        start, times = time.perf_counter(), {name: [] for name in variants}
        while time.perf_counter() - start < float(seconds):
            for name, variant in variants.items():
                begin = time.perf_counter()
                variant(*arguments)
                times[name].append(time.perf_counter() - begin)
    for name, values in times.items():
        print(json.dumps({"variant": name, "seconds": values}))


if __name__ == "__main__":
    {"iteration": iteration, "step": step}[sys.argv[1]](*sys.argv[2:])
