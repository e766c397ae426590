"""Show the model a few answered train rows and the input; answer with the reply that most votes are for."""

import json
import re
from collections import Counter

from sklearn.feature_extraction.text import TfidfVectorizer


def prepare(public, knobs):
    """Called once, before any step."""
    with open(f"{public}/rows.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    return {
        "rows": rows,
        "vectorizer": vectorizer,
        "vectors": vectorizer.fit_transform([r["input"] for r in rows]),
    }


def shown(text, knobs, index):
    """The rows that the prompt shows, the most similar one last; never the input itself."""
    rows = [row for row in index["rows"] if row["input"] != text]
    if knobs["order"] == "similar":
        near = (index["vectorizer"].transform([text]) @ index["vectors"].T).toarray()[0]
        ranked = sorted(zip(near, range(len(near)), index["rows"], strict=True), key=lambda found: -found[0])
        rows = [row for _, _, row in ranked if row["input"] != text]
    return rows[: knobs["shots"]][::-1]


def messages(text, knobs, context):
    examples = "".join(
        f"Input: {row['input']}\nAnswer: {row['answer']}\n\n"
        for row in shown(text, knobs, context["prepared"])
    )
    user = context["prompts"]["user"].strip().replace("{examples}", examples).replace("{input}", text)
    return [
        {"role": "system", "content": context["prompts"]["system"].strip()},
        {"role": "user", "content": user},
    ]


def cut_out(reply, knobs, context):
    """What counts of a reply; all of it where that is not to be found."""
    text = reply.strip()
    found = []
    if knobs["read"] == "number":
        found = re.findall(r"-?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?", text)[-1:]
    elif knobs["read"] == "code":
        found = re.findall(r"```[^\n]*\n(.*?)```", text, re.S)[:1]
    elif knobs["read"] == "label":
        labels = {row["answer"] for row in context["prepared"]["rows"]}
        inside = [label for label in labels if label.casefold() in text.casefold()]
        found = [text] if text in labels else sorted(inside, key=lambda label: (-len(label), label))[:1]
    return found[0].strip() if found else text


def step(instance, history, knobs, context):
    if not history:
        request = {
            "messages": messages(instance["input"], knobs, context),
            "n": min(knobs["votes"], context["limits"]["requests"]),
            "temperature": knobs["temperature"],
            "max_tokens": context["limits"]["max_tokens"],
        }
        return {"ask": [request]}
    replies = [cut_out(reply, knobs, context) or "-" for reply in history[0]["replies"]]
    winner = Counter(replies).most_common(1)[0][0]
    return {
        "answer": {"content": winner, "samples": [i for i, reply in enumerate(replies) if reply == winner]}
    }


def demonstrate(instance, answer, knobs, context):
    """How the model should have replied: what a weight update imitates."""
    return [{"messages": messages(instance["input"], knobs, context), "reply": answer}]
