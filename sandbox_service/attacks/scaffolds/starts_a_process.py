"""Starts a process that goes on after the step.

exploit: K34
layer: a step can start nothing: system calls are allowed by name
"""


def step(instance, history, knobs, context):
    process = __import__("subprocess").Popen(["sleep", "1"])
    return {"answer": {"content": "escaped" if process.poll() is None else ""}}
