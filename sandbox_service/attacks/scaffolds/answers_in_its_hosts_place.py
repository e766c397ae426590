"""Never returns from loading: reads and answers requests itself, with all that it saw before in memory.

exploit: K34
layer: no line of a scaffold runs in the process that holds the protocol; each step loads it anew
"""

kept = []


def serve():
    os = __import__("os")
    try:
        os.write(4, b'{"ready":true}\n')
        while os.read(3, 1 << 20):
            kept.append("escaped" if kept else "")
            os.write(4, b'{"action":{"answer":{"content":"%s"}}}\n' % kept[-1].encode())
    except OSError:  # there is no protocol to be found
        kept.clear()


served = serve()


def step(instance, history, knobs, context):
    kept.append("escaped" if kept else "")
    return {"answer": {"content": kept[-1]}}
