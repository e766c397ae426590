"""What can be had without a language model, fitted on the labelled cases that the scaffold may read, too:
`baselines.py TASK_FOLDER < INSTANCES`. Scored by the task's verifier, as the model's answers are.

"scaffold's own order" is the first of the list that the harness puts before the model: what remains of a
release when the model is taken out. A gain over it is the model's.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

Scores = NDArray[np.float64]  # axes: instance, charge


def main(folder: Path) -> None:
    sys.path[:0] = [str(folder), str(folder / "harness")]
    import verifier

    instances = json.load(sys.stdin)
    public = folder / "public"
    labels = json.loads((public / "labels.json").read_text(encoding="utf-8"))
    rows = {}
    for name, scores in scored(
        instances, labels, verifier.read_cases(public / "cases.jsonl"), public
    ).items():
        answers = [labels[place] for place in scores.argmax(axis=1)]
        rows[name] = [
            _row(verifier.score(instance, answer))
            for instance, answer in zip(instances, answers, strict=True)
        ]
    print(json.dumps(rows, ensure_ascii=False))


def _row(said: dict[str, Any]) -> dict[str, Any]:
    return {"score": said["score"], "metrics": said["metrics"]}


def scored(
    instances: list[dict[str, Any]], labels: list[str], cases: list[dict[str, Any]], public: Path
) -> dict[str, Scores]:
    """Each baseline's score of every charge for every instance; it answers with the highest."""
    glossary = json.loads((public / "glossary.json").read_text(encoding="utf-8"))
    words = [glossary.get(label, label) for label in labels]
    place = {label: number for number, label in enumerate(labels)}
    pairs = [(case["fact"], place[charge]) for case in cases for charge in case["charges"]]
    truth = np.array([charge for _, charge in pairs])
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    known = vectorizer.fit_transform([fact for fact, _ in pairs])
    asked = vectorizer.transform([instance["fact"] for instance in instances])
    name = (asked @ vectorizer.transform(labels).T).toarray()
    centroid = (asked @ _centroids(known, truth, len(labels)).T).toarray()
    machine = _machine(known, truth, asked, len(labels))
    return {
        "majority": np.tile(_counts(truth, len(labels)), (len(instances), 1)),
        "label names": name,
        "nearest case": _nearest(known, truth, asked, len(labels)),
        "class centroid": centroid,
        "linear SVM": machine,
        "linear SVM + label names": machine + 2 * name,
        "class centroid + label names": centroid + name,
        "glossary": (asked @ vectorizer.transform(words).T).toarray(),
        "scaffold's own order": _own_order(instances, labels, words, cases),
    }


def _counts(truth: NDArray[np.int_], charges: int) -> Scores:
    counts = Counter(truth.tolist())
    return np.array([float(counts[charge]) for charge in range(charges)])


def _centroids(known: sparse.csr_matrix, truth: NDArray[np.int_], charges: int) -> sparse.csr_matrix:
    ones = np.ones(len(truth))
    return normalize(sparse.csr_matrix((ones, (truth, np.arange(len(truth)))), (charges, len(truth))) @ known)


def _nearest(
    known: sparse.csr_matrix, truth: NDArray[np.int_], asked: sparse.csr_matrix, charges: int
) -> Scores:
    cosine = (asked @ known.T).toarray()
    scores = np.zeros((asked.shape[0], charges))
    for charge in np.unique(truth):
        scores[:, charge] = cosine[:, truth == charge].max(axis=1)
    return scores


def _machine(
    known: sparse.csr_matrix, truth: NDArray[np.int_], asked: sparse.csr_matrix, charges: int
) -> Scores:
    """A linear support vector machine, one charge against the rest, balanced."""
    fitted = LinearSVC(class_weight="balanced").fit(known, truth)
    scores = np.full((asked.shape[0], charges), -np.inf)
    scores[:, fitted.classes_] = np.reshape(fitted.decision_function(asked), (asked.shape[0], -1))
    return scores


def _own_order(
    instances: list[dict[str, Any]], labels: list[str], words: list[str], cases: list[dict[str, Any]]
) -> Scores:
    """By the code of the seed harness itself."""
    import scaffold

    index = scaffold.fit(labels, words, cases)
    scores = np.zeros((len(instances), len(labels)))
    for row, instance in enumerate(instances):
        first = scaffold.look(instance, {"shortlist": 1}, index)["first"]["all"]
        scores[row, labels.index(first)] = 1.0
    return scores


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
