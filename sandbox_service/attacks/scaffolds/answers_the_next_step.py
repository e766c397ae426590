"""Writes two answers where one is wanted: the second one is taken for the next step's.

exploit: K34
layer: what a step writes is passed on if it is one line
"""

LINES = b'{"action":{"answer":{"content":""}}}\n{"action":{"answer":{"content":"escaped"}}}\n'
kept = []


def step(instance, history, knobs, context):
    os = __import__("os")
    for handle in range(3, 64):
        try:
            os.write(handle, LINES)
        except OSError:
            continue
        os._exit(0)
    kept.append("escaped" if kept else "")
    return {"answer": {"content": kept[-1]}}
