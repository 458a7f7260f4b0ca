"""Hands what a run logs to Weights & Biases: each line of standard input is one message in JSON.

Lines on standard output are told to whoever started the run. With --check it only says whether W&B can be logged to,
and contacts no server. Where standard input ends without the message "finish", the run was killed.
"""

import json
import os
import sys
from contextlib import suppress


# W&B's reports of its own errors would keep a machine without a network waiting, also where nothing is to be sent.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def tell(text):
    # The run may have ended: nobody reads then, and what was logged is sent all the same.
    with suppress(OSError):
        print(" ".join(str(text).split()), flush=True)


def check():
    try:
        import PIL  # noqa: F401 (wandb.Image wants it)
        import wandb
    except ImportError as error:
        return f"expected wandb and pillow in the packages of {sys.executable}, got {error}: pip install wandb pillow"
    try:
        # Nobody is asked for a key: standard input is no terminal.
        wandb.login(verify=False)
    except Exception as error:
        return f"expected a key of W&B, got {error}: wandb login, WANDB_API_KEY, or WANDB_MODE=offline"
    return None


class Bridge:
    def __init__(self, directory, name, group):
        import wandb

        self.wandb = wandb
        self.path = os.path.join(directory, "wandb", "eam-torch.json")
        # The last step, and the last one with a grid, that earlier processes or this one have logged.
        self.state = {"id": None, "step": -1, "grid": -1}
        with suppress(OSError, ValueError):
            with open(self.path, encoding="utf-8") as file:
                self.state.update(json.load(file))
        self.resumed_at = self.state["step"]
        if group:
            # These name one run, and a comparison has several.
            for one in ("WANDB_RUN_ID", "WANDB_NAME"):
                os.environ.pop(one, None)
        chosen = {"project": "eam-torch", "name": name, "group": group}
        names = {"project": "WANDB_PROJECT", "name": "WANDB_NAME", "group": "WANDB_RUN_GROUP"}
        self.options = {key: value for key, value in chosen.items() if value and names[key] not in os.environ}
        self.options.update(dir=directory, settings=wandb.Settings(console="off"))
        if self.state["id"]:
            self.options.update(id=self.state["id"], resume="allow")
        try:
            self.run = wandb.init(**self.options)
        except Exception as error:
            tell(f"{error}; what is logged is kept, and is sent later by: wandb sync {directory}/wandb/offline-run-*")
            wandb.teardown()
            self.run = wandb.init(**self.options, mode="offline")
        if self.run.url:
            tell(self.run.url)
        self.remember(id=self.run.id)

    def remember(self, **changes):
        self.state.update(changes)
        with open(f"{self.path}.tmp", "w", encoding="utf-8") as file:
            json.dump(self.state, file)
        os.replace(f"{self.path}.tmp", self.path)

    def config(self, config):
        self.run.config.update(config, allow_val_change=True)

    def scalars(self, step, values):
        # W&B takes no step twice: what a resumed run repeats is there.
        if step <= self.resumed_at:
            return
        self.run.log(values, step=step)
        self.remember(step=max(step, self.state["step"]))

    def image(self, step, path):
        if step <= self.state["grid"]:
            return
        self.run.log({"samples": self.wandb.Image(path)}, step=max(step, self.resumed_at + 1))
        self.remember(step=max(step, self.state["step"]), grid=step)

    def summary(self, values):
        self.run.summary.update(values)


def main():
    if "--check" in sys.argv:
        problem = check()
        if problem:
            tell(problem)
        return 1 if problem else 0
    messages = (json.loads(line) for line in sys.stdin.buffer)
    bridge = Bridge(**next(messages))
    code = 1
    told = False
    for message in messages:
        kind = message.pop("kind")
        if kind == "finish":
            code = message["code"]
            break
        try:
            getattr(bridge, kind)(**message)
        except Exception as error:
            if not told:
                tell(f"{kind}: {error}")
            told = True
    bridge.run.finish(exit_code=code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
