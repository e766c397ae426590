"""The seed harness of trimul_cuda: ask for candidates, try them if there are several, answer with the best.

A reply is a schedule (JSON, one value for each knob of SPACE), which is rendered to device code for the
instance's channels with the text of prompts/kernel.md; or fenced CUDA text, which is taken as it is. What is
neither goes to the sandbox unchanged and is refused there: a failure tells the diagnosis as much as a score.
"""

import json
import random
import re

SPACE = {
    "positions": [64, 128, 256],  # of a line that a block projects at a time
    "ring": [2, 3, 4, 6, 8, 12, 16, 20],  # stages of 8 KB that the projections' weights come through
    "cluster": [1, 2],  # blocks that each fetch a part of those stages for all
    "prefetch": [0, 1, 3, 5],  # pass of five in which the next positions come into the L2 cache; 0: none
    "sigmoid": ["tanh", "exp", "pair"],  # tanh.approx; exponential and division; tanh.approx of two halves
    "tile_j": [64, 128, 256],  # of a block of the product, beside 128 lines i
    "product_ring": [2, 3, 4, 5, 6],  # its stages
    "product_blocks": [1, 2],  # of the product on a multiprocessor
    "finish_groups": [1, 2, 3, 4],  # of 128 threads that finish 64 positions each
    "finish_depth": [1, 2, 3, 4],  # stages of 32 KB for each group
    "finish_blocks": [1, 2],  # on a multiprocessor
    "overlap": [0, 1],  # a kernel begins while the one before it ends
}
MULTIPROCESSORS = 132  # of an H100 or H200; on another device the same grid is right, and slower
SHARED_BYTES = 232448  # of a multiprocessor, and most of a block
LEAST_RING = 2
BLOCK_OVERHEAD = 1024  # of shared memory that each block costs beside its own
SCHEDULE_TOKENS = 200  # a schedule is about half of that
FREE = "free"  # a pin_KNOB that pins nothing
FENCED = re.compile(r"```(?:cuda|cu|c\+\+|cpp|c)\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def step(instance, history, knobs, context):
    if not history:
        count = max(1, context["limits"]["candidates"])
        return {"ask": [_request(instance, knobs, context, number) for number in range(count)]}
    if "try" not in history[-1]["action"]:
        prompts = context["prompts"]
        contents = [candidate(reply, instance, knobs, prompts) for reply in history[-1]["replies"]]
        if len(contents) == 1:
            return {"answer": {"content": contents[0], "samples": [0]}}
        return {"try": [{"content": text, "samples": [index]} for index, text in enumerate(contents)]}
    tried = zip(history[-1]["action"]["try"], history[-1]["results"], strict=True)
    best, _ = max(tried, key=lambda pair: (pair[1]["score"], pair[1]["outcome"] == "not_timed"))
    return {"answer": best}


def _request(instance, knobs, context, number):
    rng = random.Random(f"{context['seed']}-{number}")
    request = {
        "messages": messages(instance, context["prompts"], _example(knobs, context, rng), knobs["verbose"]),
        "temperature": knobs["temperature"],
    }
    if knobs["verbose"]:  # free text, as the model may write CUDA
        return {**request, "max_tokens": context["limits"]["max_tokens"]}
    most = min(SCHEDULE_TOKENS, context["limits"]["max_tokens"])
    return {**request, "max_tokens": most, "schema": schema(knobs)}


def messages(instance, prompts, example=None, verbose=False):
    """What the model reads: the job, and then the shape with something to start from, if there is any."""
    system = prompts["system"]
    if verbose:
        system = prompts["task_large"] + "\n\n" + prompts["kernel"]
    shape = f"B={instance['B']} N={instance['N']} C={instance['C']} H=128"
    shape += f" mask={instance['mask']} x={instance['distribution']}"
    near = "" if example is None else f"\nnear: {example}"
    user = prompts["user"].strip().replace("{shape}", shape).replace("{near}", near)
    return [{"role": "system", "content": system.strip()}, {"role": "user", "content": user}]


def _example(knobs, context, rng):
    parent = context["parent"]
    if knobs["use_parent"] and parent is not None:
        return parent["reply"]
    best = sorted(context["exemplars"], key=lambda item: -item["score"])[: knobs["exemplars"]]
    return rng.choice(best)["reply"] if best else None


def schema(knobs):
    """JSON schema of a schedule. A pinned knob has one value: its tokens are not the model's choice."""
    pinned = pins(knobs)
    values = {name: [pinned[name]] if name in pinned else choices for name, choices in SPACE.items()}
    return {
        "type": "object",
        "properties": {name: {"enum": choices} for name, choices in values.items()},
        "required": list(SPACE),
        "additionalProperties": False,
    }


def pins(knobs):
    return {name: knobs[f"pin_{name}"] for name in SPACE if knobs.get(f"pin_{name}", FREE) != FREE}


def candidate(reply, instance, knobs, prompts):
    """The program that a reply stands for."""
    fenced = FENCED.findall(reply)
    if fenced:
        return fenced[-1]
    schedule = parse(reply)
    return reply if schedule is None else render({**schedule, **pins(knobs)}, instance, prompts["kernel"])


def parse(reply):
    """The schedule in a reply, wherever it stands in there; None if there is no whole one."""
    found = re.search(r"\{[^{}]*\}", reply)
    try:
        schedule = json.loads(found[0]) if found else None
    except ValueError:
        return None
    if schedule is None or set(schedule) != set(SPACE):
        return None
    # json.dumps, because True == 1
    fits = all(json.dumps(schedule[name]) in map(json.dumps, SPACE[name]) for name in SPACE)
    return schedule if fits else None


def fitted(schedule, channels):
    """The schedule with what does not fit into shared memory or into the registers made smaller."""
    chosen = dict(schedule)
    chosen["ring"] = min(chosen["ring"], 10 * channels // 64)
    while _project_bytes(chosen, channels) > SHARED_BYTES:
        if chosen["ring"] == LEAST_RING:
            chosen["positions"], chosen["ring"] = chosen["positions"] // 2, schedule["ring"]
        else:
            chosen["ring"] -= 1
    if chosen["tile_j"] > 128:
        chosen["product_blocks"] = 1  # its sums take half of the registers
    room = SHARED_BYTES // chosen["product_blocks"] - BLOCK_OVERHEAD * (chosen["product_blocks"] - 1)
    while _product_bytes(chosen) > room:
        chosen["product_ring"] -= 1
    if channels * 256 + 2 * 32768 > SHARED_BYTES // 2 - BLOCK_OVERHEAD:
        chosen["finish_blocks"] = 1
    if chosen["finish_blocks"] > 1:
        chosen["finish_groups"] = 1  # more need more registers than there are
    room = SHARED_BYTES // chosen["finish_blocks"] - BLOCK_OVERHEAD * (chosen["finish_blocks"] - 1)
    while _finish_bytes(chosen, channels) > room:
        chosen["finish_depth" if chosen["finish_depth"] > 1 else "finish_groups"] -= 1
    return chosen


def _project_bytes(chosen, channels):
    return chosen["positions"] * (channels * 2 + 4) + chosen["ring"] * (8192 + 16)


def _product_bytes(chosen):
    return chosen["product_ring"] * (16384 + chosen["tile_j"] * 128 + 16)


def _finish_bytes(chosen, channels):
    return channels * 256 + chosen["finish_groups"] * chosen["finish_depth"] * (32768 + 16) + 1024 + 8


def render(schedule, instance, kernel):
    """The schedule as device code: `kernel` behind its launches, and #defines of channels and knobs. The
    first line is the schedule as it runs."""
    channels = instance["C"]
    chosen = fitted(schedule, channels)
    launches = {
        "prepare": {"tile": [2048], "block": [256]},
        "project": {
            "blocks": MULTIPROCESSORS,
            "block": [384],
            "cluster": [chosen["cluster"]],
            "shared_bytes": _project_bytes(chosen, channels),
        },
        "product": {
            "blocks": MULTIPROCESSORS * chosen["product_blocks"],
            "block": [288],
            "shared_bytes": _product_bytes(chosen),
        },
        "finish": {
            "blocks": MULTIPROCESSORS * chosen["finish_blocks"],
            "block": [chosen["finish_groups"] * 128 + 32],
            "shared_bytes": _finish_bytes(chosen, channels),
        },
    }
    for name in ("project", "product", "finish"):
        launches[name]["overlaps"] = bool(chosen["overlap"])
    words = {word.upper(): code for code, word in enumerate(SPACE["sigmoid"])}
    knobs = {name.upper(): str(value).upper() for name, value in chosen.items()}
    defines = {"C": channels, **words, **knobs}
    head = "".join(f"#define {name} {value}\n" for name, value in defines.items())
    text = re.search(r"```cuda\n(.*?)```", kernel, re.DOTALL)
    body = text[1] if text else kernel
    return f"// {dump(chosen)}\n// launch: {json.dumps(launches)}\n{head}{body}"


def dump(schedule):
    """The one text form of a schedule: no white space, knobs in the order of SPACE."""
    return json.dumps({name: schedule[name] for name in SPACE}, separators=(",", ":"))


def draw(rng, near=None, keep=0.7):
    """A schedule at random; with `near` each knob is copied from it with probability `keep`."""
    return {
        name: near[name] if near is not None and rng.random() < keep else rng.choice(choices)
        for name, choices in SPACE.items()
    }
