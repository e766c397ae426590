"""Where the matrix's other faults are tried: by other commands, or by the tests of this repository."""

ELSEWHERE = {
    "F2 F3 F4 F21 F46 parts of a real run killed": "tests/chaos/test_real_run.py, tests/live/training",
    "F9 order of events": "tests/unit/shared/ledger/test_history.py",
    "F17 F18 F19 F20 the store": "tests/unit/shared/store, tests/live_stack",
    "F22 F23 F44 releases and adapters": "tests/unit/agent, tests/live/using/test_serving.py",
    "F24 F25 F26 the endpoint": "tests/unit/shared/model, tests/loop/test_agent_endpoint.py",
    "F27 to F38 F51 F52 hostile programs": "ratchet attack",
    "F37 a layer of the sandbox is missing": "ratchet doctor, tests/attacks/test_box_layers.py",
    "F39 to F42 F43 GPU and training": "tests/gpu, tests/unit/trainer",
    "F48 F50 patches": "tests/unit/shared/harness, tests/unit/feedback",
    "F53 F54 the gate": "ratchet bench gate, tests/unit/shared/decisions",
    "F55 a full disk": "tests/loop/test_full_disk.py, tests/live/training/test_resume.py",
    "F56 the end of a worker in a job": "tests/live/stack/test_standing_stack.py",
    "F59 a spent budget": "tests/unit/shared/bus/test_pausing.py, tests/loop",
    "F60 hours of work": "ratchet soak",
}
