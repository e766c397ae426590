"""A run's events as sentences, for the live view and the console."""

from __future__ import annotations

from shared.messages import events as e


def narrate(event: e.Message) -> str:
    """One sentence about an event, or "" for an internal one."""
    where = f"gen {event.generation}" if event.generation else "run"
    match event:
        case e.RunStarted():
            return "run started"
        case e.BaseRequested():
            return "building the base model"
        case e.BaseReady():
            return f"base model ready: {event.base[:12]} ({event.cost.train_s:.0f} s)"
        case e.BaseFailed():
            return f"no base model: {event.reason}"
        case e.RunFinished():
            return f"{event.state}: {event.why}"
        case e.RolloutsOpened():
            turn = f" round {event.round}" if event.purpose == "confirm" else ""
            arms = ", ".join(release.arm for release in event.releases)
            if event.purpose == "design":
                return f"{where}: design rung {event.round + 1}: {len(event.releases)} settings of the knobs"
            chosen = f" ({event.why_levers})" if event.why_levers else ""
            return f"{where}: {event.purpose}{turn} opened for {arms}{chosen}"
        case e.ShardFinished():
            lost = f" lost: {event.reason}" if event.result is None else ""
            return f"{where}: {event.purpose} shard done, {event.cost.evaluations} evaluations{lost}"
        case e.HarnessProposed() | e.WeightUpdateProposed():
            lever = "harness" if isinstance(event, e.HarnessProposed) else "weights"
            return f"{where}: {lever} proposed: {event.reason}"
        case e.DemonstrationsReady():
            reason = f": {event.reason}" if event.reason else ""
            return f"{where}: {event.count} prompts with right replies to learn from{reason}"
        case e.HarnessRefused() | e.WeightUpdateFailed():
            return f"{where}: {type(event).__name__}: {event.reason}"
        case e.HarnessValidated():
            return f"{where}: harness {event.harness[:12]} validated"
        case e.AdapterPublished():
            return f"{where}: adapter {event.adapter[:12]} published ({event.cost.train_s:.0f} s of training)"
        case e.ReleasePromoted():
            return f"{where}: PROMOTED {event.arm}: {event.why}"
        case e.ReleaseRolledBack():
            return f"rolled back: {event.why}"
        case e.ScorePosted():
            kept = "a train instance" if event.instance else f"no train instance: {event.why}"
            return f"a score was posted: {event.score:g} ({kept})"
        case e.StopRequested():
            return "a stop was asked for: it ends after the present generation"
        case e.RunExtended():
            return f"extended: {event.generations} generations at most"
        case e.RunReopened():
            return f"reopened: {event.jobs} jobs are done again"
        case e.ReleaseRejected():
            return f"{where}: rejected: {event.why}"
        case e.JobDied():
            return f"{where}: a job of {event.service} died after {event.attempts} attempts: {event.reason}"
    return ""
