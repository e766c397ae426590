"""Right replies become samples: in the base's own template, prompt and reply tokenized apart."""

import pytest
import torch
from transformers import AutoTokenizer

from agent_service.model_server.loading import load_language_model
from agent_service.model_server.prompts import Prompter
from agent_service.model_server.refusal import Refusal
from agent_service.model_server.schemas import ChatRequest
from shared.errors import TrainingError
from shared.messages.proposals import ChatMessage, Demonstration, Demonstrations
from tests.parts.spelling import write_base
from tests.parts.tiny_model import write_model
from trainer_service.training.demonstrations import prompts_an_answer, read_demonstrations


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


def read(tmp_path, base, *items, template=None):
    path = tmp_path / "demonstrations.json"
    path.write_text(Demonstrations(items=items).model_dump_json())
    return read_demonstrations(path, base, template)


def asked(base, messages, **more):
    """The prompt that the model server makes of them."""
    server = Prompter(load_language_model(base, torch.device("cpu")))
    sent = [{"role": one.role, "content": one.content} for one in messages]
    (row,) = server.chat_rows(ChatRequest(model="m", messages=sent, max_tokens=4, **more))
    return tuple(row.prompt)


def demonstration(content, reply, role="user"):
    return Demonstration(instance_id="i1", messages=(ChatMessage(role=role, content=content),), reply=reply)


def test_the_loss_is_on_the_reply_and_its_end_token_and_on_nothing_of_the_prompt(tmp_path, base):
    (sample,) = read(tmp_path, base, demonstration("red", "a b c"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.convert_ids_to_tokens(sample.prompt_ids) == ["<begin>", "red"]
    assert tokenizer.convert_ids_to_tokens(sample.token_ids) == ["a", "b", "c", "<end>"]
    assert sample.free == (True,) * 4
    assert (sample.reward, sample.group, sample.served) == (1.0, "i1", ())


def test_an_answer_counts_once_in_whatever_prompts_it_stands(tmp_path, base):
    once = demonstration("red", "a b c")
    assert prompts_an_answer(read(tmp_path, base, once, once)) == 1
    assert prompts_an_answer(read(tmp_path, base, once, demonstration("blue", "a b c"))) == 2
    other = demonstration("red", "b c").model_copy(update={"instance_id": "i2"})
    assert prompts_an_answer(read(tmp_path, base, once, other)) == 1  # every second one in another prompt


def test_no_token_reaches_from_the_prompt_into_the_reply(tmp_path):
    base = write_model(tmp_path / "bytes")
    (sample,) = read(tmp_path, base, demonstration("pick a tile", '{"tile":16,"order":"ijk"}'))
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.decode(sample.prompt_ids) == "<s>user: pick a tile\n<s>assistant: "
    assert tokenizer.decode(sample.token_ids) == '{"tile":16,"order":"ijk"}</s>'


def test_what_the_system_says_begins_the_users_message_where_the_template_knows_no_system(tmp_path):
    base = write_model(tmp_path / "bytes")
    template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ messages[0]['content'] }}:"
    )
    (base / "chat_template.jinja").write_text(template)
    said = (ChatMessage(role="system", content="be short"), ChatMessage(role="user", content="a tile"))
    (sample,) = read(tmp_path, base, Demonstration(instance_id="i1", messages=said, reply="8"))
    assert AutoTokenizer.from_pretrained(base).decode(sample.prompt_ids) == "be short\n\na tile:"


def test_a_base_without_a_chat_template_learns_in_the_very_prompts_that_it_is_asked_in(tmp_path):
    base = write_model(tmp_path / "bytes")
    (base / "chat_template.jinja").unlink()
    said = (ChatMessage(role="system", content="be short"), ChatMessage(role="user", content="a tile"))
    (sample,) = read(tmp_path, base, Demonstration(instance_id="i1", messages=said, reply="8"))
    assert sample.prompt_ids == asked(base, said)
    assert AutoTokenizer.from_pretrained(base).decode(sample.token_ids) == "8</s>"


def test_arguments_of_the_chat_template_change_what_is_asked_and_what_is_learned_alike(tmp_path):
    base = write_model(tmp_path / "bytes")
    template = "{{ messages[0]['content'] }}{% if enable_thinking is false %} /no_think{% endif %}:"
    (base / "chat_template.jinja").write_text(template)
    given = {"enable_thinking": False}
    (sample,) = read(tmp_path, base, demonstration("a tile", "8"), template=given)
    assert AutoTokenizer.from_pretrained(base).decode(sample.prompt_ids) == "a tile /no_think:"
    said = (ChatMessage(role="user", content="a tile"),)
    assert asked(base, said, chat_template_kwargs=given) == sample.prompt_ids != asked(base, said)
    with pytest.raises(Refusal, match="the template's own: not tokenize"):
        asked(base, said, chat_template_kwargs={"tokenize": True})


def test_a_template_that_refuses_a_message_names_the_instance(tmp_path, base):
    for path in base.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    template = "{{ raise_exception('too new') if messages[0]['role'] == 'developer' }}"
    (tmp_path / "chat_template.jinja").write_text(template)
    with pytest.raises(TrainingError, match="refuses the demonstration of i1: too new"):
        read(tmp_path, tmp_path, demonstration("red", "a", role="developer"))


def test_no_demonstration_at_all_is_refused(tmp_path, base):
    with pytest.raises(TrainingError, match="no demonstration"):
        read(tmp_path, base)
