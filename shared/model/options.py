"""The options of requests to an endpoint: names of parameters, what is left out, what is added. Part given by
the user (model.*, advisor.*), part learned from a refusal that names a parameter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shared.config.settings import EndpointSection
from shared.messages.records import JsonObject, digest_of
from shared.model.replies.refusals import Refusal

OLD_NAME, NEW_NAME = "max_tokens", "max_completion_tokens"
SYSTEM = "system"  # in `omit`: that role, whose text then begins the user's first message
CHANGING = ("response_format", SYSTEM, "temperature")  # parameters that change what is answered
STREAMED: JsonObject = {"stream": True}
OPTIONAL = ("return_token_ids", "logprobs", "seed", "temperature", "n", "response_format")


@dataclass(frozen=True)
class Options:
    """`omit`: parameters that are not sent; `added`: those that are sent besides."""

    max_tokens_name: str = OLD_NAME
    omit: frozenset[str] = frozenset()
    added: JsonObject = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What distinguishes replies, beside the request."""
        if omitted := sorted(self.omit.intersection(CHANGING)):
            return digest_of({"added": self.added, "omit": omitted})
        return digest_of(self.added) if self.added else ""

    def after(self, refusal: Refusal, sent: JsonObject) -> Options | None:
        """Options that leave out or rename what the refusal names; None: it names nothing of that kind."""
        if refusal.wants_stream(sent):
            return replace(self, added=self.added | STREAMED)
        if refusal.of_system(sent):
            return replace(self, omit=self.omit | {SYSTEM})
        named = refusal.parameters(sent)
        if self.max_tokens_name in named:
            other = NEW_NAME if self.max_tokens_name == OLD_NAME else OLD_NAME
            by_name = self.max_tokens_name in (refusal.parameter, *refusal.places)
            if other in refusal.message or by_name or refusal.of_unknown:
                return replace(self, max_tokens_name=other)
            return None
        dropped = {name for name in named if name in OPTIONAL}
        return replace(self, omit=self.omit | dropped) if dropped else None


def options_of(section: EndpointSection) -> Options:
    """As the user gave them."""
    added: JsonObject = {}
    if section.top_p is not None:
        added["top_p"] = section.top_p
    if section.stop:
        added["stop"] = list(section.stop)
    if section.reasoning_effort:
        added["reasoning_effort"] = section.reasoning_effort
    if section.chat_template:
        added["chat_template_kwargs"] = section.chat_template
    return Options(section.max_tokens_name, frozenset(section.omit), added | section.extra_body)


def learned(before: Options, after: Options) -> str:
    """What was learned between the two, in words; empty: nothing."""
    parts = []
    if after.max_tokens_name != before.max_tokens_name:
        parts.append(f"asks for {after.max_tokens_name} instead of {before.max_tokens_name}")
    if after.added != before.added:
        parts.append("gives its replies only as streams: asked for so from now on")
    if SYSTEM in after.omit - before.omit:
        parts.append("takes no system message: its text begins the user's first from now on")
    if left_out := sorted(after.omit - before.omit - {SYSTEM}):
        parts.append(f"refuses {', '.join(left_out)}: left out from now on")
    if {"logprobs", "return_token_ids"} & (after.omit - before.omit):
        parts.append("rewards can't train weights on its replies, which bring no token ids")
    return "; ".join(parts)
