"""Accuracy floors on the ground-truth corpora: active 100 ms windows against the sending kernel's own account."""

from pathlib import Path

import pytest

from tests.lab import score_shared

# Two trivial rules reach 0.81 of the active windows of `corpus` and 0.61 of `corpus-hard`.
FLOORS = {"corpus": 0.81, "corpus-hard": 0.62}


@pytest.mark.parametrize("corpus_name", FLOORS)
def test_active_windows_are_laid_to_the_right_side(corpus_name: str, tmp_path: Path) -> None:
    corpus = score_shared.LAB / corpus_name
    if not corpus.is_dir():
        pytest.skip(f"the ground-truth corpus is not beside the project: {corpus} is missing, accuracy is NOT checked")
    names = score_shared.scenario_names(corpus)
    score_shared.predict(corpus, names, tmp_path, 100)
    text, numbers = score_shared.score(corpus, names, tmp_path, 100)
    everything = numbers["groups"]["all"]
    assert everything["active"]["n"] > 1000, "the scorer saw too few windows for its figures to mean anything"
    assert everything["active"]["accuracy"] > FLOORS[corpus_name], text
