"""Audit Labels: which labels disagree with those of their nearest neighbors."""

from __future__ import annotations

from itertools import islice
from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import audit_labels, load_index
from fiftyone_qdrant.curate.label_field import fields_of_one_label
from fiftyone_qdrant.curate.review import decisions
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError

from .forms import brain_key_input, dropdown, message
from .scanning import Scan

DEFAULT_K = 15
_TOLD = 50  # of the most doubtful, in the result


class AuditLabels(Scan):
    """Asks the neighbors of all labels, and keeps what they say for Qdrant Curate."""

    name = "audit_labels"
    label = "Audit Labels"
    description = "Find labels that their nearest neighbors disagree with"
    title = "Labels audited"
    kind = "audit"
    outputs = (
        ("doubtful", "Labels that the neighbors doubt"),
        ("labelled", "Labels that were compared"),
        ("suggested", "Suggestions for what has no label"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        try:
            fields = fields_of_one_label(load_index(ctx.dataset, key))
        except QdrantPluginError as e:
            inputs.view("failure", types.Error(label=str(e)))
            return

        if not fields:
            words = f"No field has one label for what index '{key}' holds"
            about = (
                "A field of Classification or text is needed, or an index of patches"
            )
            message(inputs, "field", words, [about], stops=True)
            return

        inputs.enum(
            "field",
            fields,
            default=fields[0],
            required=True,
            label="Labels",
            view=dropdown(fields),
        )
        inputs.int(
            "k",
            default=DEFAULT_K,
            min=1,
            max=1000,
            label="Neighbors",
            description="How many of the nearest have a vote",
        )

    def ask(self, ctx: Any, brain_key: str, progress: Any) -> tuple[Any, Any]:
        field, k = ctx.params.get("field"), ctx.params.get("k") or DEFAULT_K
        if not field:
            known = fields_of_one_label(load_index(ctx.dataset, brain_key))
            fields = ", ".join(map(repr, known)) or "none"
            raise ConfigError(f"Give the field of the labels. There is {fields}")

        found = audit_labels(
            ctx.target_view(),
            brain_key,
            field,
            k=k,
            right=decisions(ctx.dataset, brain_key, field).right,
            progress=progress,
        )
        return found, {"field": field, "k": k, "slot": field}

    def about(self, ctx: Any, answer: Any) -> dict[str, Any]:
        return {
            "field": answer.field,
            "doubtful": answer.doubtful,
            "labelled": len(answer.ids),
            "suggested": sum(map(bool, answer.new_suggestions)),
            "most_doubtful": [
                {"id": i, "label": label, "suggestion": said, "score": float(score)}
                for i, label, said, score in islice(
                    zip(
                        answer.ids,
                        answer.labels,
                        answer.suggestions,
                        answer.scores,
                        strict=True,
                    ),
                    min(answer.doubtful, _TOLD),
                )
            ],
        }

    def in_words(self, result: dict[str, Any]) -> str:
        return (
            f"{result['doubtful']:,} of {result['labelled']:,} labels of "
            f"'{result['field']}' are doubtful"
        )

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        field: str,
        k: int = DEFAULT_K,
        delegate: bool = False,
    ) -> ExecutionResult:
        """Asks the nearest neighbors of each label what they are.

        Args:
            samples: the dataset or view that is judged, and has a vote
            brain_key: the index
            field: the label field
            k (15): how many neighbors vote
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the key of the
            run that holds the audit, and numbers
        """
        params = {"brain_key": brain_key, "field": field, "k": k}
        return self._run(samples, params, delegate)
