"""Says in the host's words that its process could not be locked: no fault of its own, so its pairs are lost.

exploit: K33
gain: lost
layer: no line of a scaffold runs in the process that holds the protocol
kept: plain Python has no box that could be broken
"""


def claim():
    os = __import__("os")
    for handle in range(3, 64):
        try:
            os.write(handle, b'{"not locked":"no such call"}\n')
        except OSError:
            continue


claimed = claim()


def step(instance, history, knobs, context):
    return {"answer": {"content": ""}}
