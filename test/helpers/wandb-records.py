"""Prints what a .wandb file holds: records in blocks of 32 KiB as in LevelDB's logs, each a protocol buffer."""

import json
import sys

from wandb.proto.wandb_internal_pb2 import Record

block = 1 << 15


def records(file):
    data = file.read()
    assert data[:4] == b":W&B", "no .wandb file"
    at, parts = 7, []
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        # 1: whole, 4: the last part of several.
        if kind in (1, 4):
            yield Record.FromString(b"".join(parts))
            parts = []


def key(item):
    return item.key or "/".join(item.nested_key)


found = {"id": None, "group": "", "config": {}, "steps": [], "summary": [], "exit": None}
with open(sys.argv[1], "rb") as file:
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.update(id=record.run.run_id, group=record.run.run_group)
        if kind == "config":
            found["config"].update({key(item): json.loads(item.value_json) for item in record.config.update})
        if kind == "history":
            keys = {key(item).split("/_type")[0] for item in record.history.item if not key(item).startswith("_")}
            found["steps"].append({"step": record.history.step.num, "keys": sorted(keys)})
        if kind == "summary":
            found["summary"] += [key(item) for item in record.summary.update]
        if kind == "exit":
            found["exit"] = record.exit.exit_code
print(json.dumps(found))
