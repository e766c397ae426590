"""Baselines without a language model, fitted on the labelled cases that the scaffold may read, too:
`baselines.py TASK_FOLDER < INSTANCES`. Scored by the task's verifier, as the model's answers are.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC


def main(folder: Path) -> None:
    sys.path[:0] = [str(folder), str(folder / "harness")]
    import scaffold
    import verifier

    instances = json.load(sys.stdin)
    cases = verifier.read_cases(folder / "public" / "cases.jsonl")
    labels = json.loads((folder / "public" / "labels.json").read_text(encoding="utf-8"))
    found = answers([instance["text"] for instance in instances], cases)
    index = scaffold.fit(labels, cases)
    for name, retriever in (("first of the shortlist", "nearest"), ("... by classifier", "classifier")):
        knobs = {"retriever": retriever}
        found[name] = [scaffold.look(instance["text"], knobs, index)[0][0] for instance in instances]
    print(json.dumps({name: rows(verifier, instances, answers) for name, answers in found.items()}))


def answers(texts: list[str], cases: list[dict[str, Any]]) -> dict[str, list[str]]:
    truth = [case["label"] for case in cases]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    known, asked = vectorizer.fit_transform([case["text"] for case in cases]), vectorizer.transform(texts)
    nearest = (asked @ known.T).toarray().argmax(axis=1)
    return {
        "majority": [Counter(truth).most_common(1)[0][0]] * len(texts),
        "nearest case": [truth[row] for row in nearest],
        "linear SVM": list(LinearSVC().fit(known, truth).predict(asked)),
    }


def rows(verifier: Any, instances: list[dict[str, Any]], answers: list[str]) -> list[dict[str, Any]]:
    pairs = zip(instances, answers, strict=True)
    return [{"score": verifier.score(instance, answer)["score"], "metrics": {}} for instance, answer in pairs]


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
