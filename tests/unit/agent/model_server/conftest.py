"""A tiny random model, two adapters of it, and engines on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.decoding.constrained import Grammars
from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import LanguageModel, load_language_model
from tests.parts.tiny_model import write_adapter, write_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {
        "run.x-g1": write_adapter(folder / "one", base, 1),
        "run.x-g2": write_adapter(folder / "two", base, 2, target_modules=["q_proj", "o_proj"], r=2),
    }


@pytest.fixture(scope="module")
def language(base: Path) -> LanguageModel:
    return load_language_model(base, torch.device("cpu"))


@pytest.fixture(scope="module")
def grammars(language: LanguageModel) -> Grammars:
    return Grammars(language.tokenizer, language.vocab, language.stop_tokens)


@pytest.fixture
def engine(base: Path) -> Iterator[Engine]:
    """An engine of one's own: its adapters come and go."""
    language = load_language_model(base, torch.device("cpu"))
    engine = Engine(language, Adapters(language.model, "base", max_loras=3))
    yield engine
    engine.close()
