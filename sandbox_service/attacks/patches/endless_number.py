"""Sets a knob to a number of 400 digits, which no float holds: checking its bounds ends the one who checks.

exploit: K35
layer: bounds are compared without making floats
"""

NEW = 10**400
