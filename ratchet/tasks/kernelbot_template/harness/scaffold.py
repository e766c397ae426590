"""Ask for whole programs, try them all, answer with the best."""

import re

FENCED = re.compile(r"```(?:cuda|cu|c\+\+|cpp|c)\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def step(instance, history, knobs, context):
    if not history:
        request = {
            "messages": messages(instance, context["prompts"]),
            "temperature": knobs["temperature"],
            "max_tokens": context["limits"]["max_tokens"],
        }
        return {"ask": [request] * context["limits"]["candidates"]}
    if "try" not in history[-1]["action"]:
        contents = [candidate(reply) for reply in history[-1]["replies"]]
        return {"try": [{"content": text, "samples": [index]} for index, text in enumerate(contents)]}
    tried = zip(history[-1]["action"]["try"], history[-1]["results"], strict=True)
    best, _ = max(tried, key=lambda pair: pair[1]["score"])
    return {"answer": best}


def messages(instance, prompts):
    shape = " ".join(f"{key}={value}" for key, value in instance.items() if key not in ("id", "seed"))
    user = prompts["user"].strip().replace("{shape}", shape)
    return [{"role": "system", "content": prompts["system"].strip()}, {"role": "user", "content": user}]


def candidate(reply):
    fenced = FENCED.findall(reply)
    return fenced[-1] if fenced else reply
