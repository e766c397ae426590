"""Sets a flag of a file that all steps inherit open.

exploit: K34
layer: of fcntl only what touches a descriptor of its own is allowed
"""


def step(instance, history, knobs, context):
    fcntl, append = __import__("fcntl"), __import__("os").O_APPEND
    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETFL, flags | append)
    return {"answer": {"content": "escaped" if flags & append else ""}}
