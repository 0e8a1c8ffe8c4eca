"""Select Samples to Label: those that show most of what is not labelled yet."""

from __future__ import annotations

import json
from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import load_index, select_samples
from fiftyone_qdrant.curate.label_field import fields_of_one_label
from fiftyone_qdrant.curate.selection import STRATEGIES
from fiftyone_qdrant.errors import ConfigError

from .forms import brain_key_input, dropdown, message
from .scanning import Scan

DEFAULT_N = 100
NAMES = {
    "coverage": "Cover everything",
    "typical": "Typical ones",
    "unusual": "Unusual ones",
    "near": "Near a tag",
    "far": "Far from a tag",
}
_MIX = "mix"
_NONE = ""


class SelectSamples(Scan):
    """Chooses what to label next, and keeps the choice for Qdrant Curate."""

    name = "select_samples"
    label = "Select Samples to Label"
    description = "Choose what to label next: covering, typical, unusual or balanced"
    title = "Samples selected"
    kind = "select"
    outputs = (
        ("chosen", "Chosen"),
        ("summary", "How well they cover the rest"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        inputs.int("n", default=DEFAULT_N, min=1, label="How many")
        names = {**NAMES, _MIX: "A mix of these"}
        inputs.enum(
            "strategy",
            list(names),
            default="coverage",
            label="Which",
            view=dropdown(names, names),
        )
        strategy = ctx.params.get("strategy", "coverage")
        if strategy == _MIX:
            weights = inputs.obj("weights", label="Weight of each").type
            for name, label in NAMES.items():
                about = STRATEGIES[name].capitalize()
                default = 1.0 if name == "coverage" else 0.0
                weights.float(
                    name, label=label, description=about, default=default, min=0
                )

        tags = ctx.dataset.distinct("tags")
        if _asks_tag(strategy, ctx.params.get("weights")):
            if tags:
                inputs.enum(
                    "tag", tags, required=True, label="The tag", view=dropdown(tags)
                )
            else:
                message(inputs, "tag", "Nothing has a tag yet", (), stops=True)

        choices = {_NONE: "Nothing", **{t: f"Tagged '{t}'" for t in tags}}
        inputs.enum(
            "given",
            list(choices),
            default=_NONE,
            label="Labelled already",
            description="What is chosen is unlike these",
            view=dropdown(choices, choices),
        )
        fields = fields_of_one_label(load_index(ctx.dataset, key))
        choices = {_NONE: "Nothing", **{f: f"'{f}'" for f in fields}}
        inputs.enum(
            "balance",
            list(choices),
            default=_NONE,
            label="Balanced by",
            description="As many of each class",
            view=dropdown(choices, choices),
        )

    def ask(self, ctx: Any, brain_key: str, progress: Any) -> tuple[Any, Any]:
        params = ctx.params
        asked = {
            "strategy": _strategy(params),
            "given": params.get("given") or None,
            "tag": params.get("tag") or None,
            "balance": params.get("balance") or None,
            "seed": params.get("seed") or 0,
        }
        n = params.get("n", DEFAULT_N)
        found = select_samples(
            ctx.target_view(), brain_key, n, progress=progress, **asked
        )
        given = asked["given"]
        if given is not None and not isinstance(given, str):
            asked["given"] = f"{len(given):,} ids"

        return found, {**asked, "n": n}

    def about(self, ctx: Any, answer: Any) -> dict[str, Any]:
        words = f"{len(answer.ids):,} of {answer.total:,}"
        if len(answer.radius):
            words += f"; nothing is farther than {answer.radius[-1]:.3g} from these"

        return {
            "chosen": len(answer.ids),
            "ids": answer.ids,
            "radius": answer.radius.tolist(),
            "summary": words,
        }

    def in_words(self, result: dict[str, Any]) -> str:
        return str(result["summary"])

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        n: int = DEFAULT_N,
        strategy: str | dict[str, float] = "coverage",
        given: str | list[str] | None = None,
        tag: str | None = None,
        balance: str | None = None,
        seed: int = 0,
        delegate: bool = False,
    ) -> ExecutionResult:
        """Chooses what to label next.

        Args:
            samples: the dataset or view to choose from
            brain_key: the index
            n (100): how many to choose
            strategy ("coverage"): as for :func:`fiftyone_qdrant.select_samples`, as
                are the arguments that follow
            given (None): a tag, or ids, of what is labelled already
            tag (None): what ``"near"`` and ``"far"`` are about
            balance (None): a label field
            seed (0): of what is random
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the key of the
            run that holds the choice, its ids in order, and the radius after each
        """
        params = {
            "brain_key": brain_key,
            "n": n,
            "strategy": strategy,
            "given": given,
            "tag": tag,
            "balance": balance,
            "seed": seed,
        }
        return self._run(samples, params, delegate)


def _asks_tag(strategy: Any, weights: Any) -> bool:
    if strategy == _MIX:
        return any((weights or {}).get(name) for name in ("near", "far"))

    return strategy in ("near", "far")


def _strategy(params: Any) -> Any:
    """Returns the strategy; a mix may come as an object, or as its JSON."""
    strategy = params.get("strategy") or "coverage"
    if strategy == _MIX:
        return {k: v for k, v in (params.get("weights") or {}).items() if v}

    if isinstance(strategy, str) and strategy.lstrip().startswith("{"):
        try:
            return json.loads(strategy)
        except ValueError as e:
            raise ConfigError(f"The weights are no JSON: {e}") from e

    return strategy
