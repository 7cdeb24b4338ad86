"""The structs that a model may be made of: field names in order, as each Flux version has them.

BSON stores fields by position and JLD2 leaves out fields of size zero, so both readers need this table;
a struct that is not in it, or has other fields, is refused. `name:2` says that the field's type is the
struct's third parameter, `name=T` that it is always T.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.errors import ModelError
from verifluxa.flux.values import JuliaType, Parameter

_FIXED = {"Nothing": JuliaType("Core.Nothing"), "Symbol": JuliaType("Core.Symbol")}


@dataclass(frozen=True)
class Fields:
    """The fields of one version of a struct.

    Attributes:
        names: in order.
        parameters: the index of the type parameter that is the field's type, or None.
        fixed: the types of fields that always have the same one.
        count: how many type parameters this version has, or None for any number.
    """

    names: tuple[str, ...]
    parameters: tuple[int | None, ...]
    fixed: tuple[JuliaType | None, ...]
    count: int | None

    def declared(self, kind: JuliaType, index: int) -> Parameter | None:
        """The type that a field is declared with, where the struct's type says it."""
        fixed = self.fixed[index]
        if fixed is not None:
            return fixed
        parameter = self.parameters[index]
        return None if parameter is None or parameter >= len(kind.parameters) else kind.parameters[parameter]


def _fields(text: str, count: int | None = None) -> Fields:
    names, parameters, fixed = [], [], []
    for word in text.split():
        name, _, kind = word.partition("=")
        name, _, parameter = name.partition(":")
        names.append(name)
        parameters.append(int(parameter) if parameter else None)
        fixed.append(_FIXED[kind] if kind else None)
    return Fields(tuple(names), tuple(parameters), tuple(fixed), count)


_CONV = "σ:2 weight:3 bias:4 stride pad dilation"
_POOL = (_fields("k pad stride"),)
_NORM = (_fields("λ:0 β:1 γ:1 μ:3 σ²:3 ϵ momentum affine track_stats active chs", 4),)
_NONE = (_fields(""),)

STRUCTS: dict[str, tuple[Fields, ...]] = {
    # W, b up to 0.11.
    "Flux.Dense": (_fields("weight:1 bias:2 σ:0"), _fields("W:1 b:2 σ:0")),
    "Flux.Scale": (_fields("scale:1 bias:2 σ:0"),),
    # Scale's name up to 0.12.
    "Flux.Diagonal": (_fields("α:0 β:0"),),
    "Flux.Chain": (_fields("layers:0"),),
    # groups since 0.12.6.
    "Flux.Conv": (_fields(_CONV + " groups"), _fields(_CONV)),
    "Flux.CrossCor": (_fields(_CONV),),
    "Flux.DepthwiseConv": (_fields(_CONV),),
    # groups since 0.12.8, outpad since 0.14.17.
    "Flux.ConvTranspose": (
        _fields("σ:2 weight:3 bias:4 stride pad outpad dilation groups"),
        _fields(_CONV + " groups"),
        _fields(_CONV),
    ),
    "Flux.MaxPool": _POOL,
    "Flux.MeanPool": _POOL,
    "Flux.AdaptiveMaxPool": (_fields("out"),),
    "Flux.AdaptiveMeanPool": (_fields("out"),),
    "Flux.GlobalMaxPool": _NONE,
    "Flux.GlobalMeanPool": _NONE,
    "Flux.BatchNorm": _NORM,
    "Flux.InstanceNorm": _NORM,
    "Flux.GroupNorm": (
        _fields("G λ:0 β:1 γ:1 μ=Nothing σ²=Nothing ϵ momentum affine track_stats active chs", 3),
        _fields("G λ:0 β:1 γ:1 μ:3 σ²:3 ϵ momentum affine track_stats active chs", 4),
    ),
    "Flux.LayerNorm": (_fields("λ:0 diag:1 ϵ size affine"),),
    # rng since 0.13.0.
    "Flux.Dropout": (_fields("p:0 dims:1 active rng:2"), _fields("p:0 dims:1 active")),
    "Flux.AlphaDropout": (_fields("p:0 active rng:1"), _fields("p:0 active")),
    # over up to 0.12.
    "Flux.Maxout": (_fields("layers:0"), _fields("over:0")),
    "Flux.SkipConnection": (_fields("layers:0 connection:1"),),
    "Flux.Parallel": (_fields("connection:0 layers:1"),),
    "Flux.PairwiseFusion": (_fields("connection:0 layers:1"),),
    # padding_idx since 0.16.11.
    "Flux.Embedding": (_fields("weight:0", 1), _fields("weight:0 padding_idx:1", 2)),
    "Flux.EmbeddingBag": (_fields("weight:1 reduction:0"),),
    "Flux.Bilinear": (_fields("weight:1 bias:2 σ:0"),),
    "Flux.Upsample": (_fields("scale:1 size:2"),),
    "Flux.PixelShuffle": (_fields("r"),),
    "Flux.WeightNorm": (_fields("layer:0 g:1 which=Symbol dims:2"),),
    "Flux.MultiHeadAttention": (_fields("nheads q_proj:0 k_proj:0 v_proj:0 attn_drop:1 out_proj:2"),),
    # The wrapper with a state up to 0.14; without one since 0.15, return_state among the parameters since 0.16.
    "Flux.Recur": (_fields("cell:0 state:1"),),
    "Flux.RNN": (_fields("cell:0", 1), _fields("cell:1", 2)),
    "Flux.LSTM": (_fields("cell:0", 1), _fields("cell:1", 2)),
    "Flux.GRU": (_fields("cell:0", 1), _fields("cell:1", 2)),
    "Flux.GRUv3": (_fields("cell:0", 1), _fields("cell:1", 2)),
    "Flux.RNNCell": (
        _fields("σ:0 Wi:1 Wh:2 bias:3", 4),
        _fields("σ:0 Wi:1 Wh:1 b:2 state0:3", 4),
        _fields("σ:0 Wi:1 Wh:2 b:3 state0:4", 5),
    ),
    "Flux.LSTMCell": (
        _fields("Wi:0 Wh:1 bias:2", 3),
        _fields("Wi:0 Wh:0 b:1 state0:2", 3),
        _fields("Wi:0 Wh:1 b:2 state0:3", 4),
    ),
    "Flux.GRUCell": (
        _fields("Wi:0 Wh:1 b:2", 3),
        _fields("Wi:0 Wh:0 b:1 state0:2", 3),
        _fields("Wi:0 Wh:1 b:2 state0:3", 4),
    ),
    "Flux.GRUv3Cell": (
        _fields("Wi:0 Wh:1 b:2 Wh_h̃:3", 4),
        _fields("Wi:0 Wh:0 b:1 Wh_h̃:0 state0:2", 3),
        _fields("Wi:0 Wh:1 b:2 Wh_h̃:3 state0:4", 5),
    ),
    # The missing bias of 0.12.
    "Flux.Zeros": _NONE,
    "Base.Fix1": (_fields("f:0 x:1"),),
    "Base.Fix2": (_fields("f:0 x:1"),),
    "Base.UnitRange": (_fields("start:0 stop:0"),),
    "Base.Colon": _NONE,
    "Core.Colon": _NONE,
    "Base.Pair": (_fields("first:0 second:1"),),
    "Core.Pair": (_fields("first:0 second:1"),),
    "LinearAlgebra.Transpose": (_fields("parent:1"),),
    "LinearAlgebra.Adjoint": (_fields("parent:1"),),
}

UNREAD = frozenset(
    {
        "Random._GLOBAL_RNG",
        "Random.TaskLocalRNG",
        "Random.MersenneTwister",
        "Random.Xoshiro",
        "Random.RandomDevice",
    }
)
"""Types that are let through without a look inside: random generators, of no effect in test mode."""


def matching(kind: JuliaType, names: tuple[str, ...] | None, count: int | None) -> Fields | None:
    """The version of a struct that has these field names, or that many fields.

    Args:
        kind: the struct's type.
        names: the field names, where the file tells all of them.
        count: the number of fields, where the file tells only that.
    """
    for fields in STRUCTS.get(kind.name, ()):
        if fields.count is not None and fields.count != len(kind.parameters):
            continue
        if (names is None or names == fields.names) and (count is None or count == len(fields.names)):
            return fields
    return None


def unknown_fields(kind: JuliaType, found: str, place: str) -> ModelError:
    """The error for a struct that is known, but not with these fields."""
    known = " or ".join("(" + ", ".join(fields.names) + ")" for fields in STRUCTS[kind.name])
    return ModelError(
        "VF2006",
        f"a {kind.name} has other fields than in any known version of Flux: {found}",
        place=place,
        expected=known,
        remedy="save the model again with a released version of Flux",
    )
