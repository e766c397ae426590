/* The control: an honest kernel, faster than the baseline. It must pass, and be rewarded. */
KERNEL { compute(PASS); }
