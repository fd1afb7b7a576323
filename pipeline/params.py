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
    """How text is cut into sentences."""

    max_words: int = Field(24, ge=5)
    min_words: int = Field(6, ge=1)


class HeadParams(_Strict):
    """Signal heads: one L2-regularised logistic regression a signal."""

    C: float = Field(gt=0, description="inverse regularisation strength, as in scikit-learn")
    folds: int = Field(8, ge=2, description="author-grouped folds for out-of-fold probabilities")


class VerdictParams(_Strict):
    """The monotone verdict over signals."""

    l2: float = Field(0.02, ge=0)
    band_accuracy: float = Field(0.95, gt=0.5, le=1, description="share right outside the BORDERLINE band")


class Params(_Strict):
    """All of `params.yaml`."""

    seed: int
    encoder: EncoderParams
    segment: SegmentParams
    heads: HeadParams
    verdict: VerdictParams


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
