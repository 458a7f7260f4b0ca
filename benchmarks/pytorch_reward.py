"""The baseline of rewards.mjs: HPSv2.1's model and preprocessing as one would write them in plain PyTorch, on the same
weights. Answers each line on its input, 'check' or 'time' and 'forward' or 'backward', with a line of JSON.

    pytorch_reward.py WEIGHTS.safetensors INPUTS.safetensors SETTINGS.json
"""

import json
import mmap
import struct
import sys
import time

import torch
import torch.nn.functional as F

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def load(path):
    """Tensors that read from a map of the file."""
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    length = struct.unpack("<Q", memory[:8])[0]
    dtypes = {"F32": torch.float32, "I64": torch.int64}
    tensors = {}
    for name, entry in json.loads(memory[8 : 8 + length]).items():
        begin, end = entry["data_offsets"]
        dtype = dtypes[entry["dtype"]]
        flat = torch.frombuffer(memory, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=8 + length + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


class Reward:
    def __init__(self, weights, heads, size, device, dtype):
        self.w = {name: tensor.to(device, dtype) for name, tensor in weights.items()}
        self.vision_heads, self.text_heads = heads
        self.size, self.dtype = size, dtype
        self.mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"])

    def tower(self, prefix, x, heads, causal):
        w, (batch, length, width), layer = self.w, x.shape, 0
        while (block := f"{prefix}transformer.resblocks.{layer}.") + "ln_1.weight" in w:
            normed = self.norm(block + "ln_1", x)
            qkv = F.linear(normed, w[block + "attn.in_proj_weight"], w[block + "attn.in_proj_bias"])
            q, k, v = qkv.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            mixed = mixed.transpose(1, 2).reshape(batch, length, width)
            x = x + F.linear(mixed, w[block + "attn.out_proj.weight"], w[block + "attn.out_proj.bias"])
            normed = self.norm(block + "ln_2", x)
            inner = F.gelu(F.linear(normed, w[block + "mlp.c_fc.weight"], w[block + "mlp.c_fc.bias"]))
            x = x + F.linear(inner, w[block + "mlp.c_proj.weight"], w[block + "mlp.c_proj.bias"])
            layer += 1
        return x

    def image(self, images):
        w = self.w
        x = F.interpolate(images, size=(self.size, self.size), mode="bicubic", antialias=True)
        x = ((x - self.mean) / self.std).to(self.dtype)
        patch = w["visual.conv1.weight"]
        x = F.conv2d(x, patch, stride=patch.shape[-1]).flatten(2).transpose(1, 2)
        x = torch.cat([w["visual.class_embedding"].expand(x.shape[0], 1, -1), x], 1) + w["visual.positional_embedding"]
        x = self.tower("visual.", self.norm("visual.ln_pre", x), self.vision_heads, False)
        return self.norm("visual.ln_post", x[:, 0]) @ w["visual.proj"]

    @torch.no_grad()
    def text(self, ids):
        w = self.w
        x = self.tower("", w["token_embedding.weight"][ids] + w["positional_embedding"], self.text_heads, True)
        x = self.norm("ln_final", x)[torch.arange(ids.shape[0], device=ids.device), ids.argmax(-1)]
        return x @ w["text_projection"]

    def __call__(self, images, ids):
        return F.cosine_similarity(self.image(images).float(), self.text(ids).float())


def main(weights, inputs, settings):
    settings = json.loads(settings)
    torch.set_num_threads(settings["threads"])
    device, dtype = torch.device(settings["device"]), getattr(torch, settings["dtype"])
    reward = Reward(load(weights), settings["heads"], settings["size"], device, dtype)
    images, ids = (load(inputs)[name].to(device) for name in ("images", "ids"))
    for line in sys.stdin:
        task, kind = line.split()
        begin = time.perf_counter()
        if kind == "forward":
            with torch.no_grad():
                values = reward(images, ids)
        else:
            leaf = images.clone().requires_grad_()
            values = reward(leaf, ids)
            values.sum().backward()
            leaf.grad.cpu()
        values = values.detach().cpu()
        answer = {"seconds": time.perf_counter() - begin}
        if task == "check":
            answer["values"] = values.tolist()
            answer["gradientNorm"] = leaf.grad.double().norm().item() if kind == "backward" else None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
