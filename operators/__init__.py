"""The verbs: one file is one thing a user can do."""

from .add_selected_to_index import AddSelectedToIndex
from .audit_labels import AuditLabels
from .cancel_ingest import CancelIngest
from .cleanup_collection import CleanupCollection
from .compare_indexes import CompareIndexes
from .create_qdrant_index import CreateQdrantIndex
from .delete_duplicates import DeleteDuplicates
from .find_near_duplicates import FindNearDuplicates
from .make_map import MakeMap
from .move_index import MoveIndex
from .open_curate import OpenCurate
from .open_search import OpenSearch
from .query_similar import QuerySimilar
from .remove_selected import RemoveSelected
from .rename_index import RenameIndex
from .reopen_form import ReopenForm
from .search_open_sample import SearchOpenSample
from .select_examples import SelectExamples
from .select_samples import SelectSamples
from .swap_indexes import SwapIndexes
from .sync_index import SyncIndex
from .tell_news import TellNews
from .tune_index import TuneIndex
from .undo_remove import UndoRemove

OPERATORS = (
    CreateQdrantIndex,
    AddSelectedToIndex,
    RemoveSelected,
    UndoRemove,
    QuerySimilar,
    OpenSearch,
    OpenCurate,
    SearchOpenSample,
    FindNearDuplicates,
    AuditLabels,
    SelectSamples,
    DeleteDuplicates,
    MakeMap,
    SyncIndex,
    CancelIngest,
    TuneIndex,
    RenameIndex,
    MoveIndex,
    CompareIndexes,
    SwapIndexes,
    CleanupCollection,
    ReopenForm,
    TellNews,
    SelectExamples,
)
