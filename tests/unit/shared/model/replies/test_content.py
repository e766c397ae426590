"""An answer and the reasoning before it, in the forms that servers give them."""

import pytest

from tests.unit.shared.model.replies.test_reading import message, read


@pytest.mark.parametrize(
    ("body", "text", "reasoning"),
    [
        (message(content="abc"), "abc", ""),
        (message(content=[{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}]), "abc", ""),
        (message(content=[{"type": "output_text", "text": {"value": "abc"}}]), "abc", ""),
        (message(content={"type": "text", "text": "abc"}), "abc", ""),
        (
            message(
                content=[
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "abc"},
                ]
            ),
            "abc",
            "hm",
        ),
        (message(content="abc", reasoning_content="hm"), "abc", "hm"),
        (message(content="abc", reasoning="hm"), "abc", "hm"),
        (message(content="<think>\nhm\n</think>\n\nabc"), "abc", "hm"),
        (message(content="hm\n</think>\nabc"), "abc", "hm"),  # the template had opened the block
        (message(content="hm\n</thought>\nabc"), "abc", "hm"),
        (message(content="hm<|END_THINKING|><|START_RESPONSE|>abc<|END_RESPONSE|>"), "abc", "hm"),
        (message(content="hm[/THINK]abc"), "abc", "hm"),
        (message(content="[THINK]hm[/THINK]abc"), "abc", "hm"),
        (message(content="<unused94>thought\nhm<unused95>abc"), "abc", "hm"),
        (message(content="<|channel>thought\nhm<channel|>abc<turn|>"), "abc", "hm"),
        (
            message(
                content="<|begin_of_thought|>hm<|end_of_thought|>\n\n"
                "<|begin_of_solution|>abc<|end_of_solution|>"
            ),
            "abc",
            "hm",
        ),
        (message(content="abc [/THINK] after <think>"), "abc [/THINK] after <think>", ""),  # talks about both
        (message(content=[{"text": "hm", "thought": True}, {"text": "abc"}]), "abc", "hm"),
        (message(content="abc</s>"), "abc", ""),
        (message(content="abc<|eot|>"), "abc", ""),
        (message(content="abc<｜end▁of▁sentence｜>"), "abc", ""),
        (message(content="<s>abc</s>"), "<s>abc</s>", ""),  # struck through
        (message(content="<think>a</think>\n<think>b</think>abc"), "abc", "a\nb"),
        (message(content="<think>\n\n</think>\n\nabc"), "abc", ""),
        (message(content="<THINK>hm</THINK>abc"), "abc", "hm"),
        (message(content="<thought>hm</thought>abc"), "abc", "hm"),
        (message(content="<seed:think>hm</seed:think>abc"), "abc", "hm"),
        (message(content="◁think▷hm◁/think▷abc"), "abc", "hm"),
        (message(content="<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>abc"), "abc", "hm"),
        (
            message(
                content="<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
                "<|channel|>final<|message|>abc"
            ),
            "abc",
            "hm<|end|><|start|>assistant",
        ),
        (message(content="<|channel|>final<|message|>abc<|return|>"), "abc", ""),
        (
            message(
                content="<|start|>assistant<|channel|>analysis<|message|>hm<|channel|>final<|message|>abc"
            ),
            "abc",
            "hm",
        ),
        (message(content="abc", reasoning=False, thinking=0), "abc", ""),
        (message(content="<reasoning>hm</reasoning>abc"), "<reasoning>hm</reasoning>abc", ""),  # as asked for
        (message(content="a <think> b"), "a <think> b", ""),  # talks about it
        (message(content=None, refusal="I can't help"), "I can't help", ""),
        ({"choices": [{"text": "abc"}]}, "abc", ""),
        ({"choices": [{"message": "abc"}]}, "abc", ""),
        ({"choices": [{"delta": {"content": "abc"}}]}, "abc", ""),
        (message(content=None, tool_calls=[{"function": {"arguments": '{"tile": 3}'}}]), '{"tile": 3}', ""),
        (message(content="", function_call={"arguments": {"tile": 3}}), '{"tile": 3}', ""),
        (message(content="abc", tool_calls=[]), "abc", ""),
        (message(content=None, tool_calls=[None]), "", ""),
        (message(content="\n\n", tool_calls=[{"function": {"arguments": "{}"}}]), "{}", ""),
        (message(content="abc", reasoning_details=[{"type": "reasoning.text", "text": "hm"}]), "abc", "hm"),
        (message(content="abc", reasoning_content=[{"type": "text", "text": "hm"}]), "abc", "hm"),
        (message(content="abc", thinking_blocks=[{"type": "thinking", "thinking": "hm"}]), "abc", "hm"),
        (message(content={"tile": 3}), '{"tile": 3}', ""),  # the server has read it already
        (message(content=42), "42", ""),
        (message(content="abc<|im_end|>\n"), "abc", ""),
        (message(content="a <|im_end|> b"), "a <|im_end|> b", ""),  # talks about it
        (message(content="abc") | {"error": {"message": "", "code": None}}, "abc", ""),
        (message(content="abc") | {"error": {"message": "success", "code": 0}}, "abc", ""),
        (
            {
                "choices": [
                    {"index": 1, "message": {"content": "b"}},
                    {"index": 0, "message": {"content": "a"}},
                ]
            },
            "a",
            "",
        ),
        ({"choices": [{"message": None}]}, "", ""),
    ],
)
def test_answer_and_reasoning_are_told_apart(body: object, text: str, reasoning: str) -> None:
    assert read(body)[:2] == (text, reasoning)


@pytest.mark.parametrize("text", ["{" + "\n" * 900_000, " " * 900_000 + "x", "x" + "<|im_end|> " * 90_000])
def test_a_reply_of_blanks_or_ends_alone_is_read_at_once(text: str) -> None:
    assert read(message(content=text))[0] == ("x" if "<|im_end|>" in text else text)
