"""Bounds of violation rows in the trigger's variables: interval, CROWN, optimised slopes, float32 error radii.

The road: `build_chain` cuts the local network of a placement out of the graph, `load_net` puts it on the device,
`bound_all_layers` bounds its neurons, `output_bounds` the rows of a question, `optimise_bounds` tightens them.
Other rooms import from here only.
"""

from __future__ import annotations

from verifluxa.bounds.adjoint import row_radii
from verifluxa.bounds.alpha import (
    BoundParameters,
    apply_split,
    concat_parameters,
    default_parameters,
    levels_to_hex,
    nearest_levels,
    relaxed_function,
    smooth_function_of,
    supports_alpha,
    unstable_neurons,
)
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.clip import CLIP_MULTIPLIERS, self_clip
from verifluxa.bounds.constants import Constants, not_provable, propagate
from verifluxa.bounds.crown import ChosenNeurons, LinearBounds
from verifluxa.bounds.domain import Domains, Geometry, geometry_of, rise_and_fall
from verifluxa.bounds.functions import FUNCTIONS, Parameters, function_error, function_of
from verifluxa.bounds.joint_values import JOINT_VALUES
from verifluxa.bounds.linear import (
    INFEASIBLE,
    Interval,
    LayerBounds,
    Subproblems,
    bound_all_layers,
    bound_first_layer,
    bound_next_layer,
    concat_layer_bounds,
    evaluate_net,
    narrowed_interval,
    output_bounds,
    pairs_at_once,
)
from verifluxa.bounds.linear_map import LinearMap, concat_places, linear_map_of, pool_windows
from verifluxa.bounds.lirpa import LirpaTask, lirpa_package, lirpa_upper_bounds
from verifluxa.bounds.maxima import Maxima, pair_count, repeat_blocks, sum_blocks
from verifluxa.bounds.memory import MEMORY_SHARE, free_bytes, in_chunks, is_out_of_memory, rows_that_fit
from verifluxa.bounds.net import Net, NetLayer, load_net
from verifluxa.bounds.optimise import (
    AlphaSettings,
    BoundTask,
    OptimisedBounds,
    SinglePrecision,
    claims_at_once,
    optimise_bounds,
    relaxed_activations,
)
from verifluxa.bounds.provable import NOT_PROVABLE, NOT_PROVABLE_FUNCTIONS, bound_support, has_bounds
from verifluxa.bounds.refined import refined_layers
from verifluxa.bounds.rounding import FUNCTION_ERROR, RADIUS_SAFETY

__all__ = [
    "CLIP_MULTIPLIERS",
    "FUNCTIONS",
    "FUNCTION_ERROR",
    "INFEASIBLE",
    "JOINT_VALUES",
    "MEMORY_SHARE",
    "NOT_PROVABLE",
    "NOT_PROVABLE_FUNCTIONS",
    "RADIUS_SAFETY",
    "AlphaSettings",
    "BoundParameters",
    "BoundTask",
    "ChosenNeurons",
    "Constants",
    "Domains",
    "Geometry",
    "Interval",
    "LayerBounds",
    "LinearBounds",
    "LinearMap",
    "LirpaTask",
    "Maxima",
    "Net",
    "NetLayer",
    "OptimisedBounds",
    "Parameters",
    "SinglePrecision",
    "Subproblems",
    "apply_split",
    "bound_all_layers",
    "bound_first_layer",
    "bound_next_layer",
    "bound_support",
    "build_chain",
    "claims_at_once",
    "concat_layer_bounds",
    "concat_parameters",
    "concat_places",
    "default_parameters",
    "evaluate_net",
    "free_bytes",
    "function_error",
    "function_of",
    "geometry_of",
    "has_bounds",
    "in_chunks",
    "is_out_of_memory",
    "levels_to_hex",
    "linear_map_of",
    "lirpa_package",
    "lirpa_upper_bounds",
    "load_net",
    "narrowed_interval",
    "nearest_levels",
    "not_provable",
    "optimise_bounds",
    "output_bounds",
    "pair_count",
    "pairs_at_once",
    "pool_windows",
    "propagate",
    "refined_layers",
    "relaxed_activations",
    "relaxed_function",
    "repeat_blocks",
    "rise_and_fall",
    "row_radii",
    "rows_that_fit",
    "self_clip",
    "smooth_function_of",
    "sum_blocks",
    "supports_alpha",
    "unstable_neurons",
]
