"""The seed harness of denoising: ask for candidates; where there are several, try them and take the best.

A reply is a pipeline (JSON, one value for each field of SPACE), which is rendered to a program: the text of
prompts/pipeline.md behind a PIPELINE of these values; or a fenced Python program, which is taken as it is.
What is neither goes to the box unchanged and fails there: a failure tells the diagnosis as much as a score.
"""

import json
import random
import re

SPACE = {
    "transform": ["log", "sqrt", "plain", "pearson"],  # of size-scaled counts, for components and svd
    "genes": [0, 300, 1000, 3000],  # that vary most, for components; 0: all
    "pca": [4, 8, 15, 30],  # components that distances are measured in
    "neighbours": [5, 10, 20, 40, 80, "chosen"],  # chosen: by molecules held out once more
    "steps": [1, 2, 3],  # of diffusion
    "kernel": ["flat", "gauss", "shared"],  # weights of neighbours; shared: by their common neighbours
    "factoring": ["nmf", "svd", "shrunk"],  # low-rank factorisation; shrunk: of whitened counts
    "rank": [2, 4, 7, 12, 20, "chosen"],
    "prior": [0, 0.1, 0.3, 1],  # pull of nmf's profiles towards the mean of the genes
    "rounds": [15, 30, 60],  # of nmf's updates
    "restarts": [1, 2, 4],  # of nmf, averaged
    "order": ["apart", "factors_first"],  # the graph smooths the counts, or the factorised estimate
    "blend": ["graph", "factors", "even", "fitted"],  # fitted: to molecules held out once more
    "mean": [0, 0.1, 0.25, 0.5],  # weight of library size x gene mean; fitted has its own
    "own": [
        0,
        3,
        10,
        30,
        "by_gene",
    ],  # how strongly the estimate is held against a cell's own counts; 0: they don't count
    "mass": ["match", "keep"],  # of every cell, at the end
}
PIPELINE_TOKENS = 320  # a pipeline is about half of that
FREE = "free"  # a pin_FIELD that pins nothing


def step(instance, history, knobs, context):
    if not history:
        count = max(1, context["limits"]["candidates"])
        return {"ask": [_request(instance, knobs, context, number) for number in range(count)]}
    if "try" not in history[-1]["action"]:
        contents = [candidate(reply, knobs, context["prompts"]) for reply in history[-1]["replies"]]
        candidates = [{"content": text, "samples": [index]} for index, text in enumerate(contents)]
        return {"try": candidates} if len(candidates) > 1 else {"answer": candidates[0]}
    tried = zip(history[-1]["action"]["try"], history[-1]["results"], strict=True)
    best, _ = max(tried, key=lambda pair: pair[1]["score"])
    return {"answer": best}


def _request(instance, knobs, context, number):
    rng = random.Random(f"{context['seed']}-{number}")
    request = {
        "messages": messages(instance, context["prompts"], _example(knobs, context, rng), knobs["verbose"]),
        "temperature": knobs["temperature"],
    }
    if knobs["verbose"]:  # free text, as the model may write Python
        return {**request, "max_tokens": context["limits"]["max_tokens"]}
    most = min(PIPELINE_TOKENS, context["limits"]["max_tokens"])
    return {**request, "max_tokens": most, "schema": schema(knobs)}


def messages(instance, prompts, example=None, verbose=False):
    """What the model reads: the job, and then the block of cells with a pipeline to start from, if any."""
    system = prompts["system"]
    if verbose:
        system = prompts["task_large"] + "\n\n" + prompts["pipeline"]
    block = f"cells={instance['cells']} genes={instance['genes']} depth={instance['depth']}"
    near = "" if example is None else f"\nnear: {example}"
    user = prompts["user"].strip().replace("{block}", block).replace("{near}", near)
    return [{"role": "system", "content": system.strip()}, {"role": "user", "content": user}]


def _example(knobs, context, rng):
    """The parent's reply, or one of the best exemplars; none where the harness shows none."""
    parent = context["parent"]
    if knobs["use_parent"] and parent is not None:
        return parent["reply"]
    best = sorted(context["exemplars"], key=lambda item: -item["score"])[: knobs["exemplars"]]
    return rng.choice(best)["reply"] if best else None


def schema(knobs):
    """JSON schema of a pipeline. A pinned field has one value: its tokens are not the model's choice."""
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


def candidate(reply, knobs, prompts):
    """The Python program that a reply stands for."""
    fenced = re.search(r"```(?:python|py)\n(.*?)```", reply, re.DOTALL)
    if fenced:
        return fenced[1]
    pipeline = parse(reply)
    return reply if pipeline is None else render({**pipeline, **pins(knobs)}, prompts["pipeline"])


def parse(reply):
    """The pipeline in a reply, wherever it stands in there; None if there is no whole one."""
    found = re.search(r"\{[^{}]*\}", reply)
    try:
        pipeline = json.loads(found[0]) if found else None
    except ValueError:
        return None
    if pipeline is None or set(pipeline) != set(SPACE):
        return None
    # json.dumps, because True == 1
    fits = all(json.dumps(pipeline[name]) in map(json.dumps, SPACE[name]) for name in SPACE)
    return pipeline if fits else None


def render(pipeline, text):
    """The pipeline as a program, whose first line names it."""
    body = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    head = "".join(f'    "{name}": {json.dumps(pipeline[name])},\n' for name in SPACE)
    return f"# {dump(pipeline)}\nPIPELINE = {{\n{head}}}\n\n{body[1] if body else text}"


def dump(pipeline):
    """The one text form of a pipeline: no white space, fields in the order of SPACE."""
    return json.dumps({name: pipeline[name] for name in SPACE}, separators=(",", ":"))


def draw(rng, near=None, keep=0.7):
    """A pipeline at random; with `near` each field is copied from it with probability `keep`."""
    return {
        name: near[name] if near is not None and rng.random() < keep else rng.choice(choices)
        for name, choices in SPACE.items()
    }
