"""Baselines that a candidate is compared with, scored on the same instances and held-out molecules.

    baselines.py TASK_FOLDER < INSTANCES    prints {name: [{"score", "metrics"}, one an instance]}

Each is the method as its authors or its users run it, with the cells' mass restored at the end.
"""

import json
import os
import sys
import warnings

import numpy as np
import verifier
from scipy import sparse

NEIGHBOURS = 50
SVD_RANK, NMF_RANK = 20, 12


def no_denoising(counts):
    return counts.toarray()


def library_times_gene_mean(counts):
    return np.asarray(verifier.measures.MeanEstimate(counts)[:])


def magic(counts):
    """MAGIC as in OpenProblems: square roots of library-normalised counts, exact solver, its own defaults."""
    import magic as package

    roots = np.sqrt(_scaled(counts).toarray())
    found = package.MAGIC(n_pca=min(100, min(counts.shape) - 1), random_state=0, verbose=0).fit_transform(
        roots, genes="all_genes"
    )
    return _matched(np.square(np.maximum(np.asarray(found), 0)), counts)


def knn_pooling(counts):
    """Mean of the counts of each cell's nearest cells, itself among them, by 20 principal components."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import kneighbors_graph

    near = min(NEIGHBOURS, counts.shape[0] // 5)
    places = PCA(min(20, min(counts.shape) - 1), random_state=0).fit_transform(
        np.log1p(_scaled(counts).toarray())
    )
    graph = kneighbors_graph(places, near, include_self=True)
    return _matched((graph @ counts).toarray(), counts)


def truncated_svd(counts):
    """Of the square roots of library-normalised counts, squared again."""
    from sklearn.decomposition import TruncatedSVD

    roots = _scaled(counts).sqrt()
    model = TruncatedSVD(min(SVD_RANK, min(counts.shape) - 1), random_state=0)
    return _matched(np.square(np.maximum(model.inverse_transform(model.fit_transform(roots)), 0)), counts)


def poisson_nmf(counts):
    from sklearn.decomposition import NMF

    model = NMF(
        min(NMF_RANK, min(counts.shape) - 1),
        beta_loss="kullback-leibler",
        solver="mu",
        init="nndsvda",
        max_iter=200,
        random_state=0,
    )
    return _matched(model.fit_transform(counts.astype(np.float64)) @ model.components_, counts)


METHODS = {
    "no denoising": no_denoising,
    "library size x gene mean": library_times_gene_mean,
    "MAGIC": magic,
    "kNN pooling": knn_pooling,
    "truncated SVD": truncated_svd,
    "Poisson NMF": poisson_nmf,
}


def evaluated(instance):
    """{method: {"score", "metrics"}} on one instance, as the verifier judges candidates."""
    inputs = verifier.make_inputs(instance, np.random.default_rng())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of methods that would have liked more rounds
        found = {name: method(inputs["counts"]) for name, method in METHODS.items()}
    return {
        name: verifier.evaluation(estimate, inputs["counts"], inputs["held_out"])
        for name, estimate in found.items()
    }


def _scaled(counts):
    """Every cell scaled to the median size."""
    sizes = np.asarray(counts.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(np.median(sizes) / np.maximum(sizes, 1)) @ counts)


def _matched(estimate, counts):
    sizes, sums = np.asarray(counts.sum(axis=1)).ravel(), np.asarray(estimate).sum(axis=1)
    return np.asarray(estimate) * (sizes / np.maximum(sums, 1e-12))[:, None]


def own_stdout():
    """Where a program's answer goes; what methods print (MAGIC does) goes to stderr from now on."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answer


def main():
    answer = own_stdout()
    instances = json.load(sys.stdin)
    rows = [evaluated(instance) for instance in instances]
    kept = {
        name: [{"score": row[name]["score"], "metrics": row[name].get("metrics", {})} for row in rows]
        for name in METHODS
    }
    with answer:
        json.dump(kept, answer)


if __name__ == "__main__":
    main()
