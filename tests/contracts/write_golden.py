"""Writes a golden file for each message class that has none yet. Existing files are never touched: that is
what makes them golden. Run once after adding a class: python -m tests.contracts.write_golden
"""

import json

from shared.messages import events as e
from shared.messages.records import ArmRelease, Cost, Release
from tests.contracts.test_events import GOLDEN

RELEASE = Release(base="b" * 64, harness="c" * 64, adapter="d" * 64)
COST = Cost(evaluations=3, prompt_tokens=100, completion_tokens=50, model_s=0.5, box_s=1.25)
JOIN = e.Join(id="run-1-train", slot="0", expected=2)
CONFIG = "a" * 64
CHAIN = {"run_id": "run-1", "generation": 1, "join": JOIN, "purpose": "train"}
SHARD = e.ShardFinished(**CHAIN, result="e" * 64, cost=COST, reload={"harness_ms": 12.5})
VALID = e.HarnessValidated(run_id="run-1", generation=1, join=JOIN, harness="c" * 64, reason="fewer failures")

EXAMPLES = [
    e.RunStarted(run_id="run-1", config=CONFIG),
    e.EvaluationRequested(run_id="run-1", config=CONFIG, release=RELEASE, instances="f" * 64, seed=7),
    e.BaseRequested(run_id="run-1", config=CONFIG),
    e.BaseReady(run_id="run-1", base="b" * 64, cost=COST),
    e.BaseFailed(run_id="run-1", reason="no seed corpus"),
    e.RolloutsOpened(
        run_id="run-1",
        generation=1,
        config=CONFIG,
        purpose="screen",
        releases=(ArmRelease(arm="base", release=RELEASE),),
        instances="f" * 64,
        seeds=(1, 2),
    ),
    e.ShardOpened(**CHAIN, config=CONFIG, plan="f" * 64),
    e.CandidatesProposed(**CHAIN, config=CONFIG, check="public", turn=1, state="e" * 64, batch="f" * 64),
    e.CandidatesScored(
        **CHAIN,
        config=CONFIG,
        check="final",
        turn=2,
        state="e" * 64,
        batch="f" * 64,
        scores="a" * 64,
        cost=COST,
    ),
    SHARD,
    e.RolloutsJoined(run_id="run-1", generation=1, arrivals=(SHARD,)),
    e.HarnessProposed(
        run_id="run-1",
        generation=1,
        join=JOIN,
        config=CONFIG,
        patch="f" * 64,
        smoke=("e" * 64,),
        reason="why",
    ),
    VALID,
    e.HarnessRefused(run_id="run-1", generation=1, join=JOIN, reason="stale base"),
    e.DemonstrationsRequested(
        run_id="run-1",
        generation=1,
        join=JOIN,
        config=CONFIG,
        harness="c" * 64,
        count=512,
        seed=7,
        reason="why",
    ),
    e.DemonstrationsReady(
        run_id="run-1", generation=1, join=JOIN, demonstrations="f" * 64, count=500, reason="why", cost=COST
    ),
    e.WeightUpdateProposed(
        run_id="run-1", generation=1, join=JOIN, config=CONFIG, release=RELEASE, update="f" * 64, reason="why"
    ),
    e.AdapterPublished(
        run_id="run-1",
        generation=1,
        join=JOIN,
        adapter="d" * 64,
        reason="why",
        metrics={"loss": 0.5},
        cost=COST,
    ),
    e.WeightUpdateFailed(run_id="run-1", generation=1, join=JOIN, reason="NaN", cost=COST),
    e.ProposalsJoined(run_id="run-1", generation=1, arrivals=(VALID,)),
    e.ReleasePromoted(
        run_id="run-1", generation=1, release=RELEASE, arm="both", evidence="f" * 64, why="e > 1/alpha"
    ),
    e.ReleaseRejected(run_id="run-1", generation=1, release=RELEASE, evidence=None, why="no arm was better"),
    e.ReleaseRolledBack(run_id="run-1", release=RELEASE, number=1, why="to the release after generation 2"),
    e.ScorePosted(
        run_id="run-1", answer_id="ratchet-" + "0" * 32, posted="a" * 64, score=0.5, instance="f" * 64
    ),
    e.StopRequested(run_id="run-1", number=1),
    e.RunExtended(
        run_id="run-1", config=CONFIG, number=1, continues=True, generations_before=3, generations=6
    ),
    e.RunReopened(run_id="run-1", number=1, jobs=2),
    e.RunFinished(run_id="run-1", state="done", why="three generations", test="f" * 64),
    e.JobDied(
        run_id="run-1", job_id="9" * 64, service="agent", event={"type": "x"}, reason="why", attempts=4
    ),
]


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for example in EXAMPLES:
        path = GOLDEN / f"{example.model_dump()['type']}.json"
        if not path.exists():
            path.write_text(json.dumps(example.model_dump(mode="json"), indent=2) + "\n")


if __name__ == "__main__":
    main()
