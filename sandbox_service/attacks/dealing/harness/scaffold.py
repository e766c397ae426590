"""Asks once and answers with what came."""


def step(instance, history, knobs, context):
    if not history:
        messages = [{"role": "user", "content": "Write attack."}]
        return {
            "ask": [{"messages": messages, "n": 1, "temperature": knobs["temperature"], "max_tokens": 64}]
        }
    return {"answer": {"content": history[0]["replies"][0], "samples": [0]}}
