"""The seed harness of lawbench: ask the model which charge fits the facts, and answer with the one that most
replies name.

Retrieval (character n-grams, scikit-learn) puts up the candidates and the evidence for them; the model
chooses. `style` says what it reads. "short", for a small model: the retrievers in two orders, by how far the
charge that each puts first is ahead of its second, and by how many of them agree on it; the reply says which
one to go by. "full", for a real language model: the facts in words; the reply names the charge.
"""

import json
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

RETRIEVERS = ["name", "gloss", "near", "class", "ridge"]
LINES = [*RETRIEVERS, "all"]  # what a reply in the short style may go by
FREE = "free"  # pin_by that pins nothing
RIDGE = 0.3  # of the least-squares classifier
SHORT_TOKENS = 24  # of a reply in the short style, which has about eight
EXCERPT_CHARS = 160  # of a similar case that a prompt shows


def prepare(public, knobs):
    """What no step changes: the list of charges with a few words on each, labelled cases, and retrieval
    fitted on all of them."""
    with open(f"{public}/labels.json", encoding="utf-8") as file:
        labels = json.load(file)
    with open(f"{public}/glossary.json", encoding="utf-8") as file:
        glossary = json.load(file)
    with open(f"{public}/cases.jsonl", encoding="utf-8") as file:
        cases = [json.loads(line) for line in file if line.strip()]
    return fit(labels, [glossary.get(label, label) for label in labels], cases)


def fit(labels, words, cases):
    place = {label: index for index, label in enumerate(labels)}
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    texts = vectorizer.fit_transform([case["fact"] for case in cases] + labels + words).tocsr()
    facts, names, words = _parts(texts, len(cases), len(labels))
    truth = np.zeros((len(cases), len(labels)), dtype=np.float32)
    for row, case in enumerate(cases):
        truth[row, [place[charge] for charge in case["charges"]]] = 1.0
    sums = (sparse.csr_matrix(truth.T) @ facts).tocsr()
    each = np.eye(len(labels), dtype=np.float32)
    weights, own = _ridge(texts, np.vstack([truth, each, each]))
    learned = [names.T, words.T, normalize(sums).T, sparse.csr_matrix(texts.T @ weights)]
    return {
        "labels": labels,
        "cases": cases,
        "rows": {case["fact"]: row for row, case in enumerate(cases)},
        "vectorizer": vectorizer,
        "facts": facts,
        "truth": truth,
        "sums": sums,
        "learned": sparse.hstack(learned).tocsr(),
        "own_ridge": own[: len(cases)],
    }


def _parts(texts, cases, labels):
    return texts[:cases], texts[cases : cases + labels], texts[cases + labels :]


def _ridge(examples, truth):
    """Class-balanced kernel ridge: its weights, and what it would say of each example without having it."""
    balance = (truth / truth.sum(axis=0)).sum(axis=1)
    kernel = (examples @ examples.T).toarray() + RIDGE * np.diag(balance.mean() / balance)
    inverse = np.linalg.inv(kernel)
    weights = inverse @ truth
    return weights, truth - weights / np.diag(inverse)[:, None]


def evidence(instance, index):
    """What each retriever says of every label, in the order of RETRIEVERS. A case that is itself among the
    labelled ones is looked at as if it were not."""
    text = index["vectorizer"].transform([instance["fact"]])
    near = (text @ index["facts"].T).toarray()[0]
    name, gloss, centre, ridge = np.split((text @ index["learned"]).toarray()[0], 4)
    own = index["rows"].get(instance["fact"])
    if own is not None:
        near[own], ridge = 0.0, index["own_ridge"][own]
        for label in np.flatnonzero(index["truth"][own]):
            others = index["sums"][label] - index["facts"][own]
            length = np.sqrt(others.multiply(others).sum())
            centre[label] = (text @ others.T).sum() / length if length > 1e-6 else 0.0
    nearest = (index["truth"] * near[:, None]).max(axis=0)
    return np.stack([name, gloss, nearest, centre, np.maximum(ridge, 0.0)])


def look(instance, knobs, index):
    """What the prompts are made of: the labels that look best; the one that each of LINES puts first; LINES
    in two orders, by the lead of its first label over its second, and by how many have that same first."""
    found = evidence(instance, index)
    found = np.vstack([found, found[RETRIEVERS.index("gloss")] + found[RETRIEVERS.index("ridge")]])
    order = np.argsort(-found, axis=1, kind="stable")
    best = np.take_along_axis(found, order[:, :2], axis=1)
    lead = (best[:, 0] - best[:, 1]) / np.maximum(best[:, 0], 1e-9)
    first = order[:, 0]
    agree = (first[:, None] == first).sum(axis=1)
    return {
        "labels": [index["labels"][label] for label in order[-1, : knobs["shortlist"]]],
        "first": {name: index["labels"][label] for name, label in zip(LINES, first, strict=True)},
        "ahead": [LINES[place] for place in np.argsort(-lead, kind="stable")],
        "agree": [LINES[place] for place in np.lexsort((-lead, -agree))],
    }


def step(instance, history, knobs, context):
    index = context["prepared"]
    seen = look(instance, knobs, index)
    replies = [reply for turn in history for reply in turn["replies"]]
    named = [charges(reply, seen, knobs, index["labels"]) for reply in replies]
    asked_again = len(history) - 1
    if not history or (not any(named) and asked_again < knobs["retries"] and _may_ask(replies, context)):
        return {"ask": [_request(instance, seen, knobs, context, bool(history))]}
    votes = Counter(found for found in named if found)
    if not votes:  # nothing that could be a charge: say what the model said
        return {"answer": {"content": replies[-1].strip() or "-", "samples": [len(replies) - 1]}}
    winner, _ = votes.most_common(1)[0]
    samples = [number for number, found in enumerate(named) if found == winner]
    return {"answer": {"content": ";".join(winner), "samples": samples}}


def _may_ask(replies, context):
    return len(replies) < context["limits"]["requests"]


def _request(instance, seen, knobs, context, again):
    limits, index = context["limits"], context["prepared"]
    short = knobs["style"] == "short"
    request = {
        "messages": table(seen["ahead"], seen["agree"], knobs["ask"], context["prompts"])
        if short
        else in_words(instance, seen, knobs, context["prompts"], index),
        "n": 1 if again else min(knobs["votes"], limits["requests"]),
        "temperature": knobs["temperature"],
        "max_tokens": min(SHORT_TOKENS, limits["max_tokens"]) if short else limits["max_tokens"],
    }
    if again:
        request["messages"] += [{"role": "user", "content": context["prompts"]["retry"].strip()}]
    if knobs["constrained"]:
        request["schema"] = schema(seen, knobs, index["labels"])
    return request


def schema(seen, knobs, labels):
    """Short style: a line. Full style: a charge, or a list of them where more than one may be named."""
    if knobs["style"] == "short":
        fields = {"by": {"enum": LINES if knobs["pin_by"] == FREE else [knobs["pin_by"]]}}
    else:
        one = {"enum": labels if knobs["label_list"] == "all" else seen["labels"]}
        most = knobs["most_charges"]
        fields = {
            "charge": one if most == 1 else {"type": "array", "items": one, "minItems": 1, "maxItems": most}
        }
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def table(ahead, agree, ask, prompts):
    """The short style's prompt."""
    parts = {"{ask}": ask, "{ahead}": ",".join(ahead), "{agree}": ",".join(agree)}
    text = prompts["table"].strip()
    for hole, value in parts.items():
        text = text.replace(hole, value)
    return [{"role": "user", "content": text}]


def in_words(instance, seen, knobs, prompts, index):
    """The full style's prompt."""
    labels = index["labels"] if knobs["label_list"] == "all" else seen["labels"]
    parts = {
        "{fact}": shortened(instance["fact"], knobs, seen["labels"]),
        "{labels}": "、".join(f"[{label}]" for label in labels) if knobs["label_list"] != "none" else "",
        "{cases}": _similar(instance, knobs, index),
        "{most}": str(knobs["most_charges"]),
    }
    text = prompts["user"].strip()
    for hole, value in parts.items():
        text = text.replace(hole, value)
    return [{"role": "system", "content": prompts["system"].strip()}, {"role": "user", "content": text}]


def shortened(fact, knobs, labels):
    """At most `fact_chars` of the facts: the start, both ends, or the sentences nearest to the short-list."""
    most = knobs["fact_chars"]
    if len(fact) <= most:
        return fact
    if knobs["fact_part"] == "start":
        return fact[:most]
    if knobs["fact_part"] == "ends":
        return f"{fact[: most // 2]} ... {fact[-(most - most // 2) :]}"
    sentences = [part for part in re.split(r"(?<=[。；\n])", fact) if part.strip()]
    wanted = {pair for label in labels for pair in pairwise(label)}
    order = sorted(
        range(len(sentences)),
        key=lambda i: (-len(wanted & set(pairwise(sentences[i]))), i),
    )
    kept, room = [], most
    for number in order:
        if len(sentences[number]) <= room:
            kept.append(number)
            room -= len(sentences[number])
    return "".join(sentences[number] for number in sorted(kept)) or fact[:most]


def _similar(instance, knobs, index):
    """The most similar labelled cases, as the prompt shows them; never the case itself."""
    near = (index["vectorizer"].transform([instance["fact"]]) @ index["facts"].T).toarray()[0]
    best = [row for row in np.argsort(-near) if index["cases"][row]["fact"] != instance["fact"]]
    shown = [index["cases"][row] for row in best[: knobs["cases"]]]
    return "\n".join(f"{case['fact'][:EXCERPT_CHARS]} => {';'.join(case['charges'])}" for case in shown)


def charges(reply, seen, knobs, labels):
    """The charges that a reply names, as a tuple in order; empty if it names none."""
    if knobs["style"] == "short":
        said = re.findall("|".join(LINES), reply)
        names = [seen["first"][said[0]]] if said else []
    else:
        names = list(dict.fromkeys(_named(reply, labels)))[: knobs["most_charges"]]
    return tuple(sorted(names))


def _named(reply, labels):
    """Labels in a JSON reply or in prose. Of two that overlap in the text, the longer one."""
    text = plain(reply)
    found = []
    for label in sorted(labels, key=len, reverse=True):
        place = text.find(plain(label))
        if place >= 0:
            found.append((place, label))
            text = text.replace(plain(label), "\0" * len(plain(label)))
    return [label for _, label in sorted(found)]


def plain(text):
    """Without width, white space and square brackets, in which lists of charges differ."""
    return re.sub(r"[\s\[\]【】]", "", unicodedata.normalize("NFKC", text))
