"""Typed parameters. `params.yaml` is their one home; an unknown key is an error."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import DebriefError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderParams(_Strict):
    """Which sentence-transformers model turns text into vectors, and how it is fed."""

    source: str
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    max_tokens: int = Field(256, ge=16, description="wordpieces in one pass, special tokens included")
    batch_tokens: int = Field(4096, ge=64, description="padded wordpieces in one batch")


class SegmentParams(_Strict):
    """How text is cut into sentences where full stops do not."""

    max_words: int = Field(ge=5, description="a longer run without a full stop is cut")
    min_words: int = Field(ge=1, description="a shorter piece costs `short_penalty`")
    short_penalty: float = Field(ge=0, description="in log-odds")
    ease: float = Field(description="added to the log-odds of every cut: higher, more cuts")
    buckets: int = Field(ge=64, description="columns the words around a gap are hashed into")


class AdaptParams(_Strict):
    """Fine-tuning of the encoder's upper layers by a low-rank adapter (LoRA, Hu et al. 2021)."""

    folds: int = Field(ge=2, description="adapters that never saw a fifth (or so) of the authors; also the outer folds")
    layers: int = Field(ge=1, description="upper layers that are adapted; those below stay as they are")
    rank: int = Field(ge=1)
    scale: float = Field(gt=0, description="of the low-rank update")
    passes: float = Field(gt=0, description="over the answers")
    batch: int = Field(ge=1, description="answers in one step")
    learning_rate: float = Field(gt=0, description="of the low-rank matrices, at its highest")
    reader_rate: float = Field(gt=0, description="of the readers on top")
    positive_weight: float = Field(ge=1, description="of a shown signal against one not shown, in the loss")
    token_weight: float = Field(ge=0, description="of the loss on tokens against that on sentences")
    near_weight: float = Field(ge=0, description="of the loss on annotated near misses, which scoring does not read")
    verdict_weight: float = Field(ge=0, description="of the loss on the verdict as a sum of signals, likewise")
    dropout: float = Field(ge=0, lt=1)


class NgramParams(_Strict):
    """Logistic regressions over hashed word n-grams."""

    buckets: int = Field(ge=64, description="columns the n-grams are hashed into")
    longest: int = Field(ge=1, le=5, description="words in an n-gram")
    C: float = Field(gt=0, description="inverse regularisation strength, as in scikit-learn")
    positive_weight: float = Field(ge=1, description="of a shown signal against one not shown")


class HeadParams(_Strict):
    """Signal heads: one L2-regularised logistic regression a signal."""

    C: float = Field(gt=0, description="inverse regularisation strength, as in scikit-learn")
    folds: int = Field(8, ge=2, description="author-grouped folds for out-of-fold probabilities")


class VerdictParams(_Strict):
    """The monotone verdict over signals."""

    l2: float = Field(0.02, ge=0)
    band_accuracy: float = Field(0.95, gt=0.5, le=1, description="share right outside the BORDERLINE band")


class EvaluateParams(_Strict):
    """What is measured."""

    robust_answers: int = Field(ge=8, description="answers the robustness suite disturbs")


class PromoteParams(_Strict):
    """What a challenger must not do to become champion."""

    interval: float = Field(
        gt=0.5, lt=1, description="level of the intervals; worse is when all of one lies below zero"
    )
    min_answers: int = Field(ge=1, description="held out by both versions")
    robust_margin: float = Field(ge=0, description="a disturbance may move p(GOOD) by so much more than it did")
    max_swapped: float = Field(ge=0, description="mean change of p(GOOD) when names, sexes and places are swapped")
    max_stuffed: float = Field(ge=0, description="share of BAD answers that stuffing with cue words makes GOOD")


class Params(_Strict):
    """All of `params.yaml`."""

    seed: int
    encoder: EncoderParams
    segment: SegmentParams
    adapt: AdaptParams
    ngrams: NgramParams
    heads: HeadParams
    verdict: VerdictParams
    evaluate: EvaluateParams
    promote: PromoteParams


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a parameter file.

    Raises:
        DebriefError: the file is missing, is not YAML, or has an unknown or impossible value.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DebriefError(f"{path} is missing", "Run this in the root of a debrief checkout.") from None
    except yaml.YAMLError as error:
        raise DebriefError(f"{path} is not YAML: {str(error).splitlines()[0]}", "Mend the file.") from None
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DebriefError(
            f"{path}: {wrong}", "Mend the file; pipeline/params.py lists what may stand there."
        ) from None
