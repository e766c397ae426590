"""How a conversation is written for a model that was never taught a chat's form. The model server asks it so,
and the trainer shows it right replies so."""

from __future__ import annotations

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
