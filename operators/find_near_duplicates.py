"""Find Near-Duplicates: all pairs that are near each other, found in one pass."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import load_index, near_duplicates
from fiftyone_qdrant.curate.keeping import KEEP, KEPT
from fiftyone_qdrant.curate.loose import loose_threshold
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError

from .forms import brain_key_input, dropdown
from .scanning import Scan

_ALL = ""
_ONLY = {
    _ALL: "All",
    "across": "Only across sets, such as groups or videos",
    "within": "Only within a set",
}


class FindNearDuplicates(Scan):
    """Finds near-duplicates, and keeps them for Qdrant Curate."""

    name = "find_near_duplicates"
    label = "Find Near-Duplicates"
    description = "Find samples or patches that are nearly the same"
    title = "Near-duplicates found"
    kind = "duplicates"
    outputs = (
        ("pairs", "Pairs"),
        ("groups", "Groups at this distance"),
        ("remove", "Samples or patches that could go"),
        ("missing", "Not in the index, so not compared"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        try:
            default = loose_threshold(load_index(ctx.dataset, key))
        except QdrantPluginError as e:
            inputs.view("failure", types.Error(label=str(e)))
            return

        inputs.float(
            "threshold",
            default=default,
            label="Largest distance",
            description=(
                "Rather too large: Qdrant Curate finds the right one afterwards, "
                "without searching again"
            ),
        )
        rules = keep_choices(ctx.dataset)
        inputs.enum(
            "keep",
            list(rules),
            default=KEEP[0],
            label="Keep of each group",
            view=dropdown(rules, rules),
        )
        inputs.enum(
            "only",
            list(_ONLY),
            default=_ALL,
            label="Pairs",
            view=dropdown(_ONLY, _ONLY),
        )
        if ctx.params.get("only", _ALL) != _ALL:
            inputs.str(
                "by",
                label="Field that tells sets apart",
                description="Empty: groups, videos, or the samples of patches",
            )

        others = [name for name in fo.list_datasets() if name != ctx.dataset.name]
        if others:
            choices = {_ALL: "Nothing", **{name: name for name in others}}
            inputs.enum(
                "against",
                list(choices),
                default=_ALL,
                label="Compared with another dataset",
                description="What is there already, such as in the other split",
                view=dropdown(choices, choices),
            )
        if ctx.params.get("against"):
            inputs.str(
                "against_key",
                label="Its index",
                description=f"Empty: '{key}' as well",
            )

    def ask(self, ctx: Any, brain_key: str, progress: Any) -> tuple[Any, Any]:
        threshold = ctx.params.get("threshold")
        if threshold is None:
            threshold = loose_threshold(load_index(ctx.dataset, brain_key))

        keep = ctx.params.get("keep") or KEEP[0]
        names = ("only", "by", "against", "against_key")
        asked = {n: ctx.params[n] for n in names if ctx.params.get(n)}
        given = dict(asked)
        if "against" in given:
            given["against"] = _dataset(given["against"])

        found = near_duplicates(
            ctx.target_view(),
            brain_key,
            threshold,
            keep=keep,
            progress=progress,
            **given,
        )
        return found, {"threshold": float(threshold), "keep": keep, **asked}

    def about(self, ctx: Any, answer: Any) -> dict[str, Any]:
        groups = answer.at(answer.threshold)
        return {
            "threshold": answer.threshold,
            "pairs": len(answer.distances),
            "groups": groups.num_groups,
            "remove": groups.num_remove,
            "missing": answer.missing,
        }

    def in_words(self, result: dict[str, Any]) -> str:
        return f"{result['pairs']:,} pairs up to {result['threshold']:.3g}"

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        threshold: float | None = None,
        keep: str = KEEP[0],
        delegate: bool = False,
        *,
        only: str | None = None,
        by: str | None = None,
        against: str | None = None,
        against_key: str | None = None,
    ) -> ExecutionResult:
        """Finds all pairs that are near each other.

        Args:
            samples: the dataset, or the view whose samples are compared
            brain_key: the index
            threshold (None): the largest distance of a pair; by default, that at which
                half of the samples have another one
            keep ("largest"): as for :func:`fiftyone_qdrant.near_duplicates`
            delegate (False): run it in a delegated worker
            only (None): likewise, as are the arguments that follow
            by (None): the field that tells sets apart
            against (None): the name of another dataset
            against_key (None): the key of its index

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the key of the
            run that holds them, and numbers
        """
        params = {
            "brain_key": brain_key,
            "threshold": threshold,
            "keep": keep,
            "only": only,
            "by": by,
            "against": against,
            "against_key": against_key,
        }
        return self._run(samples, params, delegate)


def _dataset(name: str) -> Any:
    if not fo.dataset_exists(name):
        raise ConfigError(f"There is no dataset '{name}' to compare with")

    return fo.load_dataset(name)


def keep_choices(dataset: Any) -> dict[str, str]:
    """Returns the rules of what is kept, by value, with the fields to go by."""
    kinds = (fo.IntField, fo.FloatField, fo.DateField, fo.DateTimeField)
    rules = dict(KEPT)
    for name, field in dataset.get_field_schema().items():
        if isinstance(field, kinds) and name not in ("created_at", "last_modified_at"):
            rules[f"-{name}"] = f"Largest '{name}'"
            rules[name] = f"Smallest '{name}'"

    return rules
