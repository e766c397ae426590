"""A small OpenAI-compatible server over transformers and PEFT: chat and plain completions, seeds,
log-probabilities, JSON-schema constrained decoding, LoRA adapters by name. One thread owns the model. For one
machine; a cluster uses vLLM.
"""
