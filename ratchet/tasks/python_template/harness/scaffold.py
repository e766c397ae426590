"""One attempt: ask; try the replies where that is allowed and answer the best, else the first."""


def messages(instance, prompts):
    return [{"role": "user", "content": prompts["user"].strip().format(**instance)}]


def step(instance, history, knobs, context):
    """Plain values in, one action out: {"ask": ...}, {"try": ...} or {"answer": ...}."""
    trials = context["limits"]["candidates"]
    if not history:
        request = {
            "messages": messages(instance, context["prompts"]),
            "n": max(1, trials),
            "temperature": knobs["temperature"],
            "max_tokens": context["limits"]["max_tokens"],
        }
        return {"ask": [request]}
    candidates = [{"content": text, "samples": [i]} for i, text in enumerate(history[0]["replies"])]
    if not trials:
        return {"answer": candidates[0]}
    if len(history) == 1:
        return {"try": candidates}
    scores = [result["score"] for result in history[1]["results"]]
    return {"answer": candidates[scores.index(max(scores))]}


def demonstrate(instance, answer, knobs, context):
    """How the model should have replied, where the task tells right answers."""
    return [{"messages": messages(instance, context["prompts"]), "reply": answer}]
