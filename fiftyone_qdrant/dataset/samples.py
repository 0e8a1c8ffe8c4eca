"""The one door to FiftyOne's private members: what of a dataset or view is not public.

CONTRIBUTING lists them, and a test holds the two, and everybody else, to that list: to
try another FiftyOne is to look through this module.
"""

from __future__ import annotations

from typing import Any

import fiftyone.core.dataset as fod
import fiftyone.core.labels as fol
import fiftyone.core.stages as fos
import fiftyone.zoo.models as fozm
from bson import json_util
from fiftyone.core.brain import BrainMethod
from fiftyone.core.odm import get_db_conn
from fiftyone.core.view import DatasetView


def root_of(samples: Any) -> Any:
    """Returns the dataset that people know by its name."""
    return samples._root_dataset


def dataset_of(samples: Any) -> Any:
    """Returns the dataset of the documents: of frames and clips one of their own."""
    return samples._dataset


def source_of(view: Any) -> Any:
    """Returns what a view of patches, frames or clips was made of."""
    return view._source_collection


def base_of(view: Any) -> Any:
    """Returns a view of frames or clips without the stages that were added to it."""
    return view._base_view


def dataset_id(samples: Any) -> Any:
    """Returns the ``ObjectId`` of the dataset, also if that is deleted."""
    return samples._root_dataset._doc.id


def is_frames(samples: Any) -> bool:
    """Whether these are frames of videos, as samples."""
    return bool(samples._is_frames)


def is_clips(samples: Any) -> bool:
    """Whether these are clips of videos, as samples."""
    return bool(samples._is_clips)


def is_patches(samples: Any) -> bool:
    """Whether these are patches, as samples."""
    return bool(samples._is_patches)


def is_generated(samples: Any) -> bool:
    """Whether these are frames, clips or patches."""
    return bool(samples._is_generated)


def is_dynamic_groups(samples: Any) -> bool:
    """Whether these are groups that a view has made."""
    return bool(samples._is_dynamic_groups)


def with_slices(samples: Any, slices: Any = None) -> Any:
    """Returns some or all slices of groups as one flat view, whatever their media."""
    return samples.select_group_slices(slices, _allow_mixed=True)


def label_path(samples: Any, field: str | None, name: str | None = None) -> str:
    """Returns the path of an attribute of a field's labels, or of the labels."""
    return str(samples._get_label_field_path(field, name)[1])


def listed(labels: Any) -> list[str]:
    """Returns the ids of one sample's labels as a list, whatever their field."""
    return labels if isinstance(labels, list) else [labels] if labels else []


def labels_by_sample(samples: Any, field: str) -> list[tuple[str, list[str]]]:
    """Returns each sample's id with the ids of its labels."""
    ids = samples.values(["id", label_path(samples, field, "id")])
    return [(sample, listed(labels)) for sample, labels in zip(*ids, strict=True)]


def label_type(samples: Any, field: str | None) -> Any:
    """Returns the class of what a label field holds: of labels, or of their list."""
    return samples._get_label_field_path(field)[0]


def is_list(kind: Any) -> bool:
    """Whether a class of labels is one of lists of them."""
    return issubclass(kind, fol._LABEL_LIST_FIELDS)


def one_of(kind: Any) -> Any:
    """Returns the class of one label of a list, else the class itself."""
    return fol._LABEL_LIST_TO_SINGLE_MAP.get(kind, kind)


def frame_path(dataset: Any, path: str) -> tuple[str, bool]:
    """Returns a path without its ``frames.``, and whether it had that."""
    path, of_frames = dataset._handle_frame_field(path)
    return path, bool(of_frames)


def documents_of(samples: Any) -> Any:
    """Returns the MongoDB collection of the documents of samples."""
    return samples._dataset._sample_collection


def frame_documents_of(dataset: Any) -> Any:
    """Returns the MongoDB collection of the frames of a dataset's videos."""
    return dataset._frame_collection


def aggregated(samples: Any, stages: list[dict[str, Any]]) -> Any:
    """Returns what MongoDB answers to a view's pipeline with more stages at its end."""
    return samples._aggregate(post_pipeline=stages)


def estimated_count(dataset: Any) -> int:
    """Returns about how many samples a dataset has, at once."""
    return int(dataset._estimated_count())


def largest(dataset: Any, field: str) -> Any:
    """Returns the largest value of a field with an index, at once."""
    return dataset._max(field)


def zoo_models() -> Any:
    """Returns the models of the zoo; public readers read all of them for each one."""
    return fozm._load_zoo_models_manifest()[0]


def values_as(samples: Any, path: str, field: Any) -> Any:
    """Returns the values at a path, read as those of a field, if one is given."""
    return samples.values(path, _field=field)


def stages_of(view: Any) -> list[Any]:
    """Returns the stages of a view as plain values, the same for the same view."""
    if isinstance(view, fod.Dataset):
        return []

    stages: list[Any] = view._serialize(include_uuids=False)
    return stages


def stages_in(view: Any) -> list[Any]:
    """Returns the stages of a view; of a dataset, none."""
    return [] if isinstance(view, fod.Dataset) else list(view._stages)


def stage_name(stage: Any) -> str:
    """Returns what tells a stage of a view from all others, also in the App."""
    return str(stage._uuid)


def name_stage(stage: Any, name: str) -> None:
    """Gives a stage another name, which the App keeps."""
    stage._uuid = name


def are_alike(stage: Any, other: Any) -> bool:
    """Whether two stages do the same."""
    return bool(stage._serialize(False) == other._serialize(False))


def uses_index(samples: Any) -> bool:
    """Whether MongoDB finds a view's samples by an index, without a look at all."""
    documents = documents_of(samples)
    asked = {"aggregate": documents.name, "pipeline": pipeline_of(samples, [])}
    asked = {"explain": {**asked, "cursor": {}}, "verbosity": "queryPlanner"}
    plan = str(documents.database.command(asked))
    return "'IXSCAN'" in plan and "'COLLSCAN'" not in plan


def pipeline_of(samples: Any, stages: list[dict[str, Any]]) -> Any:
    """Returns the MongoDB pipeline of a view, with more stages at its end."""
    return samples._pipeline(post_pipeline=stages)


def rebuilt(view: Any) -> Any:
    """Returns a view made again by its stages, of frames and clips that are there."""
    return DatasetView._build(view._root_dataset, stages_of(view))


def selected_ids(view: Any) -> list[list[str]]:
    """Returns the ids of each stage of a view that selects samples by id."""
    return [s.sample_ids for s in stages_in(view) if isinstance(s, fos.Select)]


def _making_stage(view: Any) -> Any:
    return view._frames_stage if is_frames(view) else view._clips_stage


def made_of(source: Any, like: Any) -> Any:
    """Returns a view of frames or clips of a source, made as another one was."""
    stage = _making_stage(like)
    arguments = [v for name, v in stage._kwargs() if not name.startswith("_")]
    return source.add_stage(type(stage)(*arguments))


def are_sampled(frames: Any) -> bool:
    """Whether a view has only some frames of the videos, by their number."""
    return bool((_making_stage(frames)._config or {}).get("sample_frames"))


def times_of(clips: Any) -> str | None:
    """Returns the field whose labels' ids clips have, if they are such clips."""
    field: str | None = clips._classification_field
    return field


def store_values(dataset: Any, store_name: str) -> list[Any]:
    """Returns all values of an execution store of a dataset, in one read."""
    query = {
        "store_name": store_name,
        "dataset_id": dataset._doc.id,
        "key": {"$ne": "__store__"},
    }
    found = get_db_conn().execution_store.find(query, {"value": 1})
    return [document["value"] for document in found if document.get("value")]


def add_run(dataset: Any, brain_key: str, run: Any) -> None:
    """Gives a dataset that is in memory a run, and saves it."""
    dataset._doc.brain_methods[brain_key] = run
    dataset.save()


def swap_runs(dataset: Any, brain_key: str, other_key: str) -> bool:
    """Gives each of two brain runs the other's key, in one update of the dataset.

    Returns:
        False if either is not what this process knows it to be
    """
    runs = [BrainMethod._get_run_doc(dataset, key) for key in (brain_key, other_key)]
    paths = [f"brain_methods.{key}" for key in (brain_key, other_key)]
    query = {"_id": dataset._doc.id, paths[0]: runs[0].id, paths[1]: runs[1].id}
    swapped = {"$set": {paths[0]: runs[1].id, paths[1]: runs[0].id}}
    if not get_db_conn().datasets.update_one(query, swapped).modified_count:
        return False

    for run, key in zip(runs, (other_key, brain_key), strict=True):
        run.key = key
        run.save()

    dataset._brain_cache.clear()
    dataset.reload()
    return True


def stored_stages(view: Any) -> list[str]:
    """Returns the stages of a view as FiftyOne keeps them with a run."""
    return [json_util.dumps(stage) for stage in stages_of(view)]


def store_view(view: Any, brain_key: str | None) -> None:
    """Stores with a run that it is of a view, from now on."""
    document = BrainMethod._get_run_doc(root_of(view), brain_key)
    document.view_stages = stored_stages(view)
    document.save()


def leave_cache(samples: Any, brain_key: str | None, index: Any = None) -> None:
    """Has FiftyOne open an index anew, which may then be told where its store is.

    It would return the object it has, whatever path is given.

    Args:
        samples: the dataset, or a view of it
        brain_key: the index's run
        index (None): only if FiftyOne has this object
    """
    cache = samples._root_dataset._brain_cache
    if index is None or cache.get(brain_key) is index:
        cache.pop(brain_key, None)
