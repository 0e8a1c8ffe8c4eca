"""Cleanup Collection: delete an index's collection, after saying what that means."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.cleanup import clean_up, plan_cleanup
from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.runs import load_index

from .forms import brain_key_input, mark_invalid
from .qdrant_operator import ICONS, QdrantOperator, chosen_index


class CleanupCollection(QdrantOperator):
    """Deletes the collection of an index and its run record."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="cleanup_collection",
            label="Cleanup Collection",
            description="Delete the Qdrant collection of an index",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.DANGEROUS,
            view_target=False,
            **ICONS,
        )

    def form(self, ctx, inputs):
        key = brain_key_input(ctx, inputs)
        if key is not None:
            try:
                _confirmation(ctx, inputs, plan_cleanup(load_index(ctx.dataset, key)))
            except QdrantPluginError as e:
                inputs.view("failure", types.Error(label=str(e)))

    def execute(self, ctx):
        params = ctx.params
        plan = clean_up(
            chosen_index(ctx),
            confirm=params.get("confirm"),
            delete_run=params.get("delete_run", True),
            force=params.get("force", False),
            dry_run=params.get("dry_run", False),
        )
        if plan.deleted:
            ctx.ops.reload_dataset()

        return plan.to_dict()

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("summary", label="Result")
        return types.Property(outputs, view=types.View(label="Cleanup Collection"))

    def __call__(
        self,
        samples,
        brain_key,
        confirm=None,
        delete_run=True,
        force=False,
        dry_run=False,
        delegate=False,
    ):
        """Deletes the collection of an index.

        Args:
            samples: the dataset
            brain_key: the index
            confirm (None): the collection's name, typed out; needed to delete
            delete_run (True): whether to delete the run record as well
            force (False): delete even if others use the collection or made it
            dry_run (False): only say what would be deleted
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with what was, or
            would be, deleted
        """
        params = {
            "brain_key": brain_key,
            "confirm": confirm,
            "delete_run": delete_run,
            "force": force,
            "dry_run": dry_run,
        }
        return self._run(samples, params, delegate)


def _confirmation(ctx, inputs, plan):
    inputs.view("plan", types.Notice(label=plan.summary))
    if plan.obstacle:
        inputs.view("obstacle", types.Warning(label=f"Careful: {plan.obstacle}"))
        inputs.bool("force", default=False, label="Delete it all the same")

    inputs.str(
        "confirm",
        label="Confirm",
        description=f"Type {plan.collection_name} to delete it",
    )
    inputs.bool("delete_run", default=True, label="Delete the run record as well")
    dry_run = ctx.params.get("dry_run", False)
    if not dry_run and ctx.params.get("confirm") != plan.collection_name:
        message = f"Type the collection's name to confirm: {plan.collection_name}"
        mark_invalid(inputs, "confirm", message)
