"""Ask the model which label fits a customer's query, and answer with the label that most replies name.

The labelled train cases say which labels are likely (retrieval), and serve as examples; the model chooses.
"""

import json
from collections import Counter

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

NEAREST = 3  # labelled cases of a label that count
FOLDS = 5


def prepare(public, knobs):
    """Called once, before any step."""
    with open(f"{public}/labels.json", encoding="utf-8") as file:
        labels = json.load(file)
    with open(f"{public}/cases.jsonl", encoding="utf-8") as file:
        cases = [json.loads(line) for line in file]
    return fit(labels, cases)


def fit(labels, cases):
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    vectors = vectorizer.fit_transform([case["text"] for case in cases])
    truth = np.array([labels.index(case["label"]) for case in cases])
    return {
        "labels": labels,
        "cases": cases,
        "rows": {case["text"]: row for row, case in enumerate(cases)},
        "vectorizer": vectorizer,
        "vectors": vectors,
        "truth": truth,
        "classifier": LinearSVC().fit(vectors, truth),
        "own": without_own(vectors, truth, len(labels)),
    }


def without_own(vectors, truth, count):
    """For each labelled case, the scores of a classifier that has not seen it."""
    folds = np.arange(len(truth)) % FOLDS
    scores = np.full((len(truth), count), -1.0)
    for fold in range(FOLDS):
        seen, unseen = folds != fold, folds == fold
        if len(set(truth[seen])) > 1 and unseen.any():
            machine = LinearSVC().fit(vectors[seen], truth[seen])
            scores[np.ix_(unseen, machine.classes_)] = decided(machine, vectors[unseen])
    return scores


def decided(machine, vectors):
    scores = machine.decision_function(vectors)
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores  # one dimension: two labels


def look(text, knobs, index):
    """All labels, the likeliest first, and the labelled cases, the nearest first. A query that is itself a
    labelled case is looked at as if it were not."""
    query = index["vectorizer"].transform([text])
    near = (query @ index["vectors"].T).toarray()[0]
    own = index["rows"].get(text)
    if own is not None:
        near[own] = 0.0
    scores = np.full(len(index["labels"]), -1.0)
    for label in np.unique(index["truth"]):
        scores[label] = np.sort(near[index["truth"] == label])[-NEAREST:].mean()
    if knobs["retriever"] == "classifier":
        scores[:] = -1.0
        classes = index["classifier"].classes_
        scores[classes] = (
            decided(index["classifier"], query)[0] if own is None else index["own"][own][classes]
        )
    names = [index["labels"][label] for label in np.argsort(-scores, kind="stable")]
    cases = [index["cases"][row] for row in np.argsort(-near, kind="stable") if row != own]
    return names, cases


def shortlist(text, knobs, index):
    """The labels that the model may choose from, in the order in which it reads them; examples, the most
    similar one last."""
    names, cases = look(text, knobs, index)
    names = names[: knobs["shortlist"]]
    if knobs["order"] == "alphabet":
        names.sort()
    return names, cases[: knobs["shots"]][::-1]


def messages(text, names, shots, prompts):
    shown = "".join(f"Query: {case['text']}\n{reply_of(case['label'])}\n" for case in shots)
    user = prompts["user"].strip().replace("{labels}", ", ".join(names)).replace("{examples}", shown)
    return [
        {"role": "system", "content": prompts["system"].strip()},
        {"role": "user", "content": user.replace("{query}", text)},
    ]


def reply_of(label):
    return json.dumps({"label": label}, separators=(",", ":"), ensure_ascii=False)


def label_in(reply, names):
    """The label that a reply names, or an empty text. Of two that it names, the longer one."""
    return max((name for name in names if name in reply), key=len, default="")


def step(instance, history, knobs, context):
    names, shots = shortlist(instance["text"], knobs, context["prepared"])
    if not history:
        request = {
            "messages": messages(instance["text"], names, shots, context["prompts"]),
            "n": min(knobs["votes"], context["limits"]["requests"]),
            "temperature": knobs["temperature"],
            "max_tokens": context["limits"]["max_tokens"],
        }
        if knobs["constrained"]:
            request["schema"] = {
                "type": "object",
                "properties": {"label": {"enum": names}},
                "required": ["label"],
                "additionalProperties": False,
            }
        return {"ask": [request]}
    replies = history[0]["replies"]
    named = [label_in(reply, names) for reply in replies]
    votes = Counter(name for name in named if name)
    if not votes:
        return {"answer": {"content": replies[0].strip() or "-", "samples": [0]}}
    winner = votes.most_common(1)[0][0]
    return {"answer": {"content": winner, "samples": [i for i, name in enumerate(named) if name == winner]}}


def demonstrate(instance, answer, knobs, context):
    """How the model should have replied, where the right label is known: what a weight update imitates. A
    label that is not on the shortlist can't be taught here."""
    names, shots = shortlist(instance["text"], knobs, context["prepared"])
    if answer not in names:
        return []
    return [
        {"messages": messages(instance["text"], names, shots, context["prompts"]), "reply": reply_of(answer)}
    ]
