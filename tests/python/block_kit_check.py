"""Slack's own Block Kit models over what our renderer emits: one JSON array of blocks a line on stdin.

Prints one line for each fault and exits 1 when there is any. Exit 3: slack_sdk is missing.
"""

import json
import sys

try:
    from slack_sdk.models.basic_objects import JsonObject
    from slack_sdk.models.blocks import Block
except ImportError:
    print("slack_sdk is missing: python3 -m venv .venv && .venv/bin/pip install slack_sdk")
    sys.exit(3)


def deep(value):
    """The models check themselves but not what they hold."""
    if isinstance(value, JsonObject):
        value.validate_json()
        for inner in vars(value).values():
            deep(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            deep(inner)


def main():
    checked = faults = 0
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        for position, raw in enumerate(json.loads(line)):
            checked += 1
            try:
                block = Block.parse(raw)
                if block is None:
                    raise ValueError(f"no such block: {raw.get('type')}")
                deep(block)
                # What the models do not know they drop; nothing we send may be dropped.
                if block.to_dict().get("type") != raw["type"]:
                    raise ValueError("it was read as something else")
            except Exception as error:  # each fault is a line of the report
                faults += 1
                print(f"line {number}, block {position}: {error}")
    print(f"{checked} blocks checked, {faults} faults")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
