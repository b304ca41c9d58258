"""The functions that recipes of findings call: tables to aggregate, and statistics that polars does not provide.

The analyses call the same functions on counts of their own; `docs/studies.md` describes each of them.
"""

from mematlas.analyses.corpus.near_copies import near_counts
from mematlas.analyses.corpus.provenance.other_occurrences import elsewhere_contrasts, lines_elsewhere
from mematlas.analyses.corpus.repetition import copy_agreement, copy_buckets, copy_slopes
from mematlas.analyses.corpus.taxonomy.category_models import category_coefficients, category_models
from mematlas.analyses.corpus.taxonomy.covariates import row_traits, trait_means
from mematlas.analyses.corpus.taxonomy.finding import category_shares
from mematlas.analyses.corpus.taxonomy.near_copies import near_categories
from mematlas.analyses.extraction.approximate.similarity import definition_lines, similarity_lines
from mematlas.analyses.extraction.approximate.tables import added_excesses, similarity_means
from mematlas.analyses.extraction.bits.row_bits import bits_by_model, bits_by_repetitions, row_bits
from mematlas.analyses.extraction.membership.discrimination import (
    exposures_by_repetitions,
    membership_aurocs,
    membership_by_repetitions,
    membership_exposures,
    membership_sweep,
)
from mematlas.analyses.extraction.membership.row_scores import membership_rows
from mematlas.analyses.extraction.probability.counts import discoverable_shares, measure_means, probability_quantiles
from mematlas.analyses.extraction.probability.row_probabilities import probability_lines, signal_rows
from mematlas.analyses.family.forecast.clustering import spread_quantiles, spreads
from mematlas.analyses.family.forecast.forecasts import with_forecasts
from mematlas.analyses.family.overlap.memorizer_sets import memorizers, overlap_sets, steps
from mematlas.analyses.family.scaling.laws import fit_laws, law_points, law_residuals
from mematlas.analyses.family.transitions.level_transitions import symmetry_tests
from mematlas.analyses.frames.copies import lines_with_features
from mematlas.analyses.frames.copies_as_repetitions import buckets_by_copies, rows_by_copies
from mematlas.analyses.frames.distinct_texts import texts
from mematlas.analyses.frames.proportions import out_of_all, with_shares
from mematlas.analyses.frames.repetition_buckets import bucket_spans, shortfall, with_bucket
from mematlas.analyses.frames.repetition_samples import sample_shares
from mematlas.analyses.frames.score_lines import (
    BUCKET_KEYS,
    FIRM_KEYS,
    PAIR_KEYS,
    firm_lines,
    lines,
    pairs,
    same_rows,
)
from mematlas.analyses.positions.boundary_step import (
    boundary_contrasts,
    boundary_differences,
    boundary_slopes,
    sentence_frequencies,
)
from mematlas.analyses.positions.count_curves import boundary_curves
from mematlas.analyses.positions.entropy.profiles import (
    signal_contrasts,
    signal_curves,
    signal_slopes,
    signal_statistics,
)
from mematlas.analyses.positions.entropy.signals import boundary_signals, rows_with_signals
from mematlas.analyses.positions.frequency_strata.strata import position_contrasts, strata_rows, stratified_effects
from mematlas.analyses.positions.parts_of_speech import parts_of_speech, tagged_positions, tokens_left_out
from mematlas.analyses.positions.profiles import boundary_rows
from mematlas.analyses.positions.token_windows import boundary_counts
from mematlas.analyses.scores.context import with_changes
from mematlas.analyses.scores.distribution.finding import score_classes
from mematlas.analyses.scores.distribution.score_over_control import mean_scores
from mematlas.analyses.states.embedding.distances import state_distances, state_slopes
from mematlas.analyses.states.embedding.maps import state_axes, state_map, state_separation
from mematlas.analyses.states.embedding.samples import state_samples
from mematlas.analyses.states.predict.gains import prediction_gains, row_clusters
from mematlas.analyses.states.predict.over_seeds import (
    accuracy_by_size,
    prediction_calibration,
    prediction_control,
    prediction_levels,
    prediction_positions,
    prediction_scores,
    prediction_transfer,
)
from mematlas.analyses.states.predict.scores import (
    seed_calibration,
    seed_control,
    seed_levels,
    seed_positions,
    seed_scores,
)
from mematlas.analyses.training.capacity import capacity_runs, capacity_sizes
from mematlas.analyses.training.checkpoint_scores import checkpoint_scores
from mematlas.analyses.training.counterfactual.pairs import pair_differences, pair_effects, pair_scores
from mematlas.analyses.training.counterfactual.records import (
    influence_histogram,
    memorization_by_copies,
    memorization_by_simplicity,
    memorization_convergence,
    permuted_membership,
    row_influence,
    row_memorization,
)
from mematlas.analyses.training.counterfactual.subset_scores import subset_scores
from mematlas.analyses.training.did import parallel_trends, showing_effects, showing_profile
from mematlas.analyses.training.dynamics import epochs_to_reach, overfitting_epochs, training_epochs
from mematlas.analyses.training.facts.losses import fact_losses, mean_losses
from mematlas.analyses.training.facts.tables import (
    fact_effectivity,
    fact_forgetting,
    fact_retention,
    fact_showings,
)
from mematlas.analyses.training.forgetting.baseline import fitted_curves, forgetting_baseline
from mematlas.analyses.training.forgetting.excess import forgetting_excess, forgetting_left
from mematlas.analyses.training.injection.curve import (
    injection_costs,
    injection_curve,
    injection_interactions,
)
from mematlas.analyses.training.injection.tables import (
    injection_frequencies,
    injection_illusions,
    injection_lengths,
    injection_thresholds,
)
from mematlas.analyses.training.insertions.items import insertion_items
from mematlas.analyses.training.insertions.tables import (
    insertion_dilution,
    insertion_levels,
    insertion_trends,
    insertion_windows,
)
from mematlas.analyses.training.unique_ids import id_curves, id_gains, id_gains_over_seeds
from mematlas.literature.published import SLOPES, TABLES
from mematlas.metrics.levels import LEVELS

__all__ = [
    "BUCKET_KEYS",
    "FIRM_KEYS",
    "LEVELS",
    "PAIR_KEYS",
    "SLOPES",
    "TABLES",
    "accuracy_by_size",
    "added_excesses",
    "bits_by_model",
    "bits_by_repetitions",
    "boundary_contrasts",
    "boundary_counts",
    "boundary_curves",
    "boundary_differences",
    "boundary_rows",
    "boundary_signals",
    "boundary_slopes",
    "bucket_spans",
    "buckets_by_copies",
    "capacity_runs",
    "capacity_sizes",
    "category_coefficients",
    "category_models",
    "category_shares",
    "checkpoint_scores",
    "copy_agreement",
    "copy_buckets",
    "copy_slopes",
    "definition_lines",
    "discoverable_shares",
    "elsewhere_contrasts",
    "epochs_to_reach",
    "exposures_by_repetitions",
    "fact_effectivity",
    "fact_forgetting",
    "fact_losses",
    "fact_retention",
    "fact_showings",
    "firm_lines",
    "fit_laws",
    "fitted_curves",
    "forgetting_baseline",
    "forgetting_excess",
    "forgetting_left",
    "id_curves",
    "id_gains",
    "id_gains_over_seeds",
    "influence_histogram",
    "injection_costs",
    "injection_curve",
    "injection_frequencies",
    "injection_illusions",
    "injection_interactions",
    "injection_lengths",
    "injection_thresholds",
    "insertion_dilution",
    "insertion_items",
    "insertion_levels",
    "insertion_trends",
    "insertion_windows",
    "law_points",
    "law_residuals",
    "lines",
    "lines_elsewhere",
    "lines_with_features",
    "mean_losses",
    "mean_scores",
    "measure_means",
    "membership_aurocs",
    "membership_by_repetitions",
    "membership_exposures",
    "membership_rows",
    "membership_sweep",
    "memorization_by_copies",
    "memorization_by_simplicity",
    "memorization_convergence",
    "memorizers",
    "near_categories",
    "near_counts",
    "out_of_all",
    "overfitting_epochs",
    "overlap_sets",
    "pair_differences",
    "pair_effects",
    "pair_scores",
    "pairs",
    "parallel_trends",
    "parts_of_speech",
    "permuted_membership",
    "position_contrasts",
    "prediction_calibration",
    "prediction_control",
    "prediction_gains",
    "prediction_levels",
    "prediction_positions",
    "prediction_scores",
    "prediction_transfer",
    "probability_lines",
    "probability_quantiles",
    "row_bits",
    "row_clusters",
    "row_influence",
    "row_memorization",
    "row_traits",
    "rows_by_copies",
    "rows_with_signals",
    "same_rows",
    "sample_shares",
    "score_classes",
    "seed_calibration",
    "seed_control",
    "seed_levels",
    "seed_positions",
    "seed_scores",
    "sentence_frequencies",
    "shortfall",
    "showing_effects",
    "showing_profile",
    "signal_contrasts",
    "signal_curves",
    "signal_rows",
    "signal_slopes",
    "signal_statistics",
    "similarity_lines",
    "similarity_means",
    "spread_quantiles",
    "spreads",
    "state_axes",
    "state_distances",
    "state_map",
    "state_samples",
    "state_separation",
    "state_slopes",
    "steps",
    "strata_rows",
    "stratified_effects",
    "subset_scores",
    "symmetry_tests",
    "tagged_positions",
    "texts",
    "tokens_left_out",
    "training_epochs",
    "trait_means",
    "with_bucket",
    "with_changes",
    "with_forecasts",
    "with_shares",
]
