"""The seed harness of trimul_cuda: ask for whole programs, try them all, answer with the best.

A program is the fenced CUDA text of a reply. A reply without one goes to the sandbox as it is and is refused
there: a failure tells the diagnosis as much as a score.
"""

import random
import re

FENCED = re.compile(r"```(?:cuda|cu|c\+\+|cpp|c)\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def step(instance, history, knobs, context):
    if not history:
        count = context["limits"]["candidates"]
        return {"ask": [_request(instance, knobs, context, number) for number in range(count)]}
    if "try" not in history[-1]["action"]:
        contents = [candidate(reply) for reply in history[-1]["replies"]]
        return {"try": [{"content": text, "samples": [index]} for index, text in enumerate(contents)]}
    tried = zip(history[-1]["action"]["try"], history[-1]["results"], strict=True)
    best, _ = max(tried, key=lambda pair: (pair[1]["score"], pair[1]["outcome"] == "not_timed"))
    return {"answer": best}


def _request(instance, knobs, context, number):
    rng = random.Random(f"{context['seed']}-{number}")
    return {
        "messages": messages(instance, context["prompts"], _example(knobs, context, rng)),
        "temperature": knobs["temperature"],
        "max_tokens": context["limits"]["max_tokens"],
    }


def messages(instance, prompts, example=None):
    """What the model reads: the operator and the rules, then the shape, with a program to start from."""
    shape = f"B={instance['B']} N={instance['N']} C={instance['C']} H=128"
    shape += f" mask={instance['mask']} x={instance['distribution']}"
    near = "" if example is None else f"\nStart from this:\n\n{example}"
    user = prompts["user"].strip().replace("{shape}", shape).replace("{near}", near)
    return [{"role": "system", "content": prompts["system"].strip()}, {"role": "user", "content": user}]


def _example(knobs, context, rng):
    parent = context["parent"]
    if knobs["use_parent"] and parent is not None:
        return parent["reply"]
    best = sorted(context["exemplars"], key=lambda item: -item["score"])[: knobs["exemplars"]]
    return rng.choice(best)["reply"] if best else None


def candidate(reply):
    """The last fenced program of a reply, else the reply."""
    fenced = FENCED.findall(reply)
    return fenced[-1] if fenced else reply
