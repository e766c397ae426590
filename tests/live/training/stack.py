"""Parts of the trainer's live tests: a task that writes letters, its seed model, ways to train on it.

A reply earns its share of the letter a. The tiny model is built once, by the handler itself.
"""

import json

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared.config.settings import load_config
from shared.messages.events import BaseRequested, Join, WeightUpdateProposed
from shared.messages.proposals import WeightUpdate
from shared.messages.records import AttemptPlan, AttemptState, Evaluation, Release, Sample, ShardState, Turn
from shared.store.store import LocalStore, materialize, put_json
from trainer_service.handlers import Deps, on_base_requested
from trainer_service.specs import TrainingSample, TrainSpec
from trainer_service.training.train import train

CORPUS = """
import json, random, sys
draw = random.Random(int(sys.argv[2]))
for _ in range(int(sys.argv[1])):
    name = draw.choice(["red", "green", "blue"])
    answer = json.dumps({"letters": "".join(draw.choice("abcd") for _ in range(12))})
    print(json.dumps({"messages": [{"role": "user", "content": name}], "answer": answer}))
"""
TASK = """
name = "letters"
[seed_corpus]
lines = 600
steps = 60
hidden = 64
layers = 2
vocabulary = 280
"""


def write_task(root):
    """The folder of a task that has just what the trainer reads."""
    harness = root / "letters" / "harness"
    harness.mkdir(parents=True)
    (root / "letters" / "task.toml").write_text(TASK)
    (root / "letters" / "seed_corpus.py").write_text(CORPUS)
    for path in (root / "letters" / "verifier.py", harness / "harness.toml", harness / "scaffold.py"):
        path.write_text("")


class Stack:
    """The trainer's surroundings, and its answers."""

    def __init__(self, root):
        self.root = root
        write_task(root)
        self.deps = Deps(store=LocalStore(root / "store"), cache_dir=root / "cache")
        self.base_ready = self.request_base()
        self.base = materialize(self.deps.store, self.base_ready.base, root / "cache" / "bundles")
        self.tokenizer = AutoTokenizer.from_pretrained(self.base)

    def config(self, **training):
        layers = {"run": {"task": str(self.root / "letters")}, "training": {"threads": 1, **training}}
        return put_json(self.deps.store, load_config([layers]))

    def request_base(self):
        (emitted,) = on_base_requested(BaseRequested(run_id="r", config=self.config()), deps=self.deps)
        return emitted

    def propose(self, samples, algorithm="entropic", **training):
        """A weight update on these samples, as a message."""
        turns = Turn(action={"ask": []}, replies=tuple(sample for sample, _ in samples))
        tried = [{"content": "x", "samples": [i]} for i in range(len(samples))]
        results = tuple(Evaluation(outcome="ok", score=reward) for _, reward in samples)
        release = Release(base=self.base_ready.base, harness="h" * 64)
        plan = AttemptPlan(attempt_id="a", instance={"id": "red"}, arm="train", release=release, seed=0)
        attempt = AttemptState(plan=plan, turns=(turns, Turn(action={"try": tried}, results=results)))
        shard = put_json(self.deps.store, ShardState(attempts=(attempt,)))
        update = WeightUpdate(
            algorithm=algorithm,
            shards=(shard,),
            steps=6,
            learning_rate=3e-3,
            kl_weight=0.02,
            seed=3,
            reason="r",
        )
        return WeightUpdateProposed(
            run_id="run",
            generation=1,
            join=Join(id="j", slot="weights", expected=2),
            config=self.config(batch=16, micro_tokens=512, **training),
            release=release,
            update=put_json(self.deps.store, update),
            reason="the rewards are skewed",
        )

    def sample(self, adapter=None, count=64, seed=0):
        """Replies of the policy to one prompt, with the share of the letter a in each."""
        model = AutoModelForCausalLM.from_pretrained(self.base)
        policy = model if adapter is None else PeftModel.from_pretrained(model, adapter)
        messages = [{"role": "user", "content": "red"}]
        prompt = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        torch.manual_seed(seed)
        rows = policy.eval().generate(**prompt, do_sample=True, num_return_sequences=count, max_new_tokens=40)
        start = prompt["input_ids"].shape[1]
        return [self.scored(rows[0, :start].tolist(), row[start:].tolist()) for row in rows]

    def scored(self, prompt_ids, token_ids):
        end = self.tokenizer.eos_token_id
        cut = token_ids[: token_ids.index(end) + 1] if end in token_ids else token_ids
        text = self.tokenizer.decode(cut, skip_special_tokens=True)
        reply = Sample(text=text, prompt_ids=prompt_ids, token_ids=cut, free=(True,) * len(cut))
        letters = text.removeprefix('{"letters": "').removesuffix('"}')
        return reply, letters.count("a") / max(1, len(letters))


def mean_reward(samples):
    return sum(reward for _, reward in samples) / len(samples)


def is_valid(text):
    try:
        return set(json.loads(text)) == {"letters"}
    except ValueError:
        return False


def train_here(stack, folder, samples, adapter=None, **settings):
    """A training in this process, for tests that would else wait for imports."""
    folder.mkdir()
    rows = [
        TrainingSample(
            prompt_ids=reply.prompt_ids,
            token_ids=reply.token_ids,
            free=reply.free,
            reward=reward,
            group="red",
        ).model_dump(mode="json")
        for reply, reward in samples
    ]
    (folder / "samples.json").write_text(json.dumps(rows))
    return train(spec_for(stack, folder, adapter, **settings))


def spec_for(stack, folder, adapter=None, **settings):
    chosen = {
        "base": stack.base,
        "algorithm": "entropic",
        "steps": 8,
        "learning_rate": 3e-3,
        "kl_weight": 0.02,
        "lora_rank": 8,
        "batch": 32,
        "micro_tokens": 1024,
        "max_tokens": 4096,
        "max_kl": 10.0,
        "max_gap": 0.25,
        "zero_stage": 0,
        "threads": 1,
        "seed": 0,
    }
    return TrainSpec(
        adapter=adapter,
        samples=folder / "samples.json",
        out=folder / "adapter",
        result=folder / "result.json",
        checkpoints=folder / "checkpoints",
        name_prefix="run-g1",
        base_digest=stack.base_ready.base,
        **(chosen | settings),
    )


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
