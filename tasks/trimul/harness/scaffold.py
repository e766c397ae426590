"""The seed harness of trimul: ask for candidates, try them if there are several, answer with the best.

A reply is a schedule (JSON, one value for each knob of SPACE), which is rendered to C for the instance's
shape with the text of prompts/kernel.md; or a fenced C program, which is taken as it is. What is neither goes
to the compiler unchanged and fails there: a failure tells the diagnosis as much as a score.
"""

import json
import random
import re

SPACE = {
    "products": ["float32", "bf16x2", "bf16x3"],  # a number as one float32, or as the sum of 2 or 3 bfloat16
    "vec": [4, 8, 16],  # numbers in a vector
    "rows": [1, 2, 3, 4, 5, 6, 7],  # of a register tile of the projections: channels
    "cols": [1, 2, 3, 4],  # vectors of places across it
    "prows": [1, 2, 4, 6, 8, 10, 12, 14],  # of a register tile of the product and of the way out
    "pcols": [1, 2, 3, 4],
    "pair": ["together", "apart"],  # a channel and its gate in one register tile, or in one after the other
    "weights": ["packed", "plain"],  # in the order in which tiles read them, or as they come
    "block": [16, 32, 64, 128],  # places of a line worked on at a time
    "norm": [
        "transposed",
        "per_block",
        "once",
    ],  # first layer norm: by channels in registers, by places, in a pass
    "outgate": ["early", "late"],  # the output's gate with the other projections, or where it is needed
    "sigmoid": ["newton", "divide", "libm"],
    "stores": ["cached", "streaming"],  # of what only a later stage reads
    "prefetch": ["next", "none"],
    "pages": ["small", "huge"],
    "threads": [1, 2],
}
SCHEDULE_TOKENS = 240  # a schedule is about half of that
FREE = "free"  # a pin_KNOB that pins nothing


def step(instance, history, knobs, context):
    if not history:
        count = max(1, context["limits"]["candidates"])
        return {"ask": [_request(instance, knobs, context, number) for number in range(count)]}
    if "try" not in history[-1]["action"]:
        replies = history[-1]["replies"]
        contents = [candidate(reply, instance, knobs, context["prompts"]) for reply in replies]
        if len(contents) == 1:
            return {"answer": {"content": contents[0], "samples": [0]}}
        return {"try": [{"content": text, "samples": [index]} for index, text in enumerate(contents)]}
    tried = zip(history[-1]["action"]["try"], history[-1]["results"], strict=True)
    best, _ = max(tried, key=lambda pair: pair[1]["score"])
    return {"answer": best}


def _request(instance, knobs, context, number):
    rng = random.Random(f"{context['seed']}-{number}")
    request = {
        "messages": messages(
            instance,
            context["prompts"],
            _example(knobs, context, rng),
            knobs["verbose"],
            _reached(knobs, context),
        ),
        "temperature": knobs["temperature"],
    }
    if knobs["verbose"]:  # free text, as the model may write C
        return {**request, "max_tokens": context["limits"]["max_tokens"]}
    most = min(SCHEDULE_TOKENS, context["limits"]["max_tokens"])
    return {**request, "max_tokens": most, "schema": schema(knobs)}


def messages(instance, prompts, example=None, verbose=False, reached=""):
    """What the model reads: the job, and then the shape with a schedule to start from, if there is one, and
    what a large model is told that this one `reached`."""
    system = prompts["system"]
    if verbose:
        system = prompts["task_large"] + "\n\n" + prompts["kernel"]
    mask = {True: "random", False: "ones"}.get(instance["mask"], instance["mask"])  # both are allowed
    shape = f"N={instance['N']} C={instance['C']} mask={mask} dist={instance['distribution']}"
    near = "" if example is None else f"\nnear: {example}{reached}"
    user = prompts["user"].strip().replace("{shape}", shape).replace("{near}", near)
    return [{"role": "system", "content": system.strip()}, {"role": "user", "content": user}]


def _example(knobs, context, rng):
    """The parent's reply, or one of the best exemplars; none where the harness shows none."""
    parent = context["parent"]
    if knobs["use_parent"] and parent is not None:
        return parent["reply"]
    best = sorted(context["exemplars"], key=lambda item: -item["score"])[: knobs["exemplars"]]
    return rng.choice(best)["reply"] if best else None


def _reached(knobs, context):
    """How fast the parent's stages were. A small model has not learned to read it."""
    metrics = (context["parent"] or {}).get("metrics", {})
    shares = {name: share for name, share in metrics.items() if name.startswith("peak_share_")}
    if not (knobs["verbose"] and knobs["use_parent"] and shares):
        return ""
    told = ", ".join(f"{name.removeprefix('peak_share_')} {share:.2f}" for name, share in shares.items())
    return f"\nIt was {metrics['speedup']:.1f} times as fast as plain C. Shares of the float32 peak: {told}"


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
    """The C program that a reply stands for."""
    fenced = re.search(r"```[cC]\n(.*?)```", reply, re.DOTALL)
    if fenced:
        return fenced[1]
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


def render(schedule, instance, kernel):
    """The schedule as C for one shape: `kernel` behind #defines of the shape, the knobs and their words. The
    first line names the schedule that runs, which `fitted` may have changed."""
    schedule = fitted(schedule)
    defines = {name: instance[name] for name in ("B", "N", "C")}
    defines["H"] = instance.get("H", 128)
    for choices in SPACE.values():
        defines.update({word.upper(): code for code, word in enumerate(choices) if isinstance(word, str)})
    for name, value in schedule.items():
        defines[name.upper()] = value if isinstance(value, int) else value.upper()
    defines["PROWS"] = min(schedule["prows"], instance["N"])  # a tile is no larger than the operator
    head = "".join(f"#define {name} {value}\n" for name, value in defines.items())
    text = re.search(r"```c\n(.*?)```", kernel, re.DOTALL)
    return f"/* {dump(schedule)} */\n{head}{text[1] if text else kernel}"


def fitted(schedule):
    """What runs of a schedule: the matrix unit reads vectors of 16."""
    return schedule if schedule["products"] == "float32" else {**schedule, "vec": 16}


def dump(schedule):
    """The one text form of a schedule: no white space, knobs in the order of SPACE."""
    return json.dumps({name: schedule[name] for name in SPACE}, separators=(",", ":"))


def draw(rng, near=None, keep=0.7):
    """A schedule at random; with `near` each knob is copied from it with probability `keep`."""
    return {
        name: near[name] if near is not None and rng.random() < keep else rng.choice(choices)
        for name, choices in SPACE.items()
    }
