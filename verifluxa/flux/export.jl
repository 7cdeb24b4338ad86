# Writes a Flux model as files that Verifluxa reads without Julia:
#
#     julia export.jl MODEL OUT [SIZES]
#
# MODEL  a `.jl` script whose last value is a Flux model, or a pair `(model, x)` with a batch of inputs;
#        or a `.jld2` or `.bson` file that holds a whole model under the name `model`.
# OUT    a folder; it is made, and may be empty or absent.
# SIZES  of one input in Julia's order without the samples, `28,28,1`; not needed where `x` is given or the
#        first layer is a Dense.
#
# OUT then holds `state.jld2` (or `state.bson`), `architecture.txt`, `probe.safetensors` with inputs and Flux's own
# outputs in test mode, and `export.json` with the versions, which is written last.
#
# MODEL is run as Julia code: only use it on code that you trust.

module VerifluxaExport

using Flux

const SAMPLES = 8
const SCHEMA = "verifluxa/flux-export/1"

"The version of Flux that is loaded; `pkgversion` exists since Julia 1.9."
function flux_version()
    isdefined(Base, :pkgversion) && return string(Base.pkgversion(Flux))
    text = read(joinpath(dirname(dirname(pathof(Flux))), "Project.toml"), String)
    return match(r"(?m)^version\s*=\s*\"([^\"]+)\"", text).captures[1]
end

"A package that may not be installed, or `nothing`."
function package(name)
    try
        return Base.require(Main, name)
    catch problem
        problem isa ArgumentError || rethrow()
        return nothing
    end
end

"Calls a function of a package that was loaded just now: newer than the code that runs."
latest(package, name, arguments...; keywords...) =
    Base.invokelatest(call, package, name, arguments...; keywords...)
call(package, name, arguments...; keywords...) = getproperty(package, name)(arguments...; keywords...)

"The model, and a batch of inputs or `nothing`."
function load_model(path)
    if endswith(path, ".jl")
        value = Base.include(Main, abspath(path))
        return value isa Tuple && length(value) == 2 ? value : (value, nothing)
    elseif endswith(path, ".jld2")
        jld2 = package(:JLD2)
        jld2 === nothing && error("JLD2 is not installed in this environment")
        return (latest(jld2, :load, path, "model"), nothing)
    elseif endswith(path, ".bson")
        bson = package(:BSON)
        bson === nothing && error("BSON is not installed in this environment")
        return (latest(bson, :load, path, Main)[:model], nothing)
    end
    error("$(basename(path)) is no .jl, .jld2 or .bson file")
end

"The first array of floats in a state, which tells the float type; Float32 for a model without arrays."
float_type(value::AbstractArray{<:AbstractFloat}) = eltype(value)
float_type(value::Union{Tuple,NamedTuple}) = first_type(values(value))
float_type(value::AbstractVector) = first_type(value)
float_type(_) = nothing
function first_type(items)
    for item in items
        found = float_type(item)
        found === nothing || return found
    end
    return nothing
end

"Sizes of one input in Julia's order: as given, or the columns of a first Dense."
function input_sizes(model, sizes)
    sizes === nothing || return Tuple(parse.(Int, split(sizes, ",")))
    layer = model
    while layer isa Chain && !isempty(layer.layers)
        layer = first(values(layer.layers))
    end
    layer isa Dense && return (size(layer.weight, 2),)
    error("the first layer does not tell the sizes of the input: give them, as in 28,28,1, or end the script with (model, x)")
end

"A batch that is the same in every run: sines, between -1 and 1."
probe_batch(T, sizes) = reshape(T.(sin.(1:prod(sizes)*SAMPLES)), sizes..., SAMPLES)

"Writes arrays as safetensors: their memory as it is, which is NumPy's with the sizes reversed, so samples first."
function write_arrays(path, arrays)
    names = Dict(Float32 => "F32", Float64 => "F64")
    entries, offset = String[], 0
    for (name, array) in arrays
        stop = offset + sizeof(array)
        shape = join(reverse(size(array)), ",")
        push!(entries, "\"$name\":{\"dtype\":\"$(names[eltype(array)])\",\"shape\":[$shape],\"data_offsets\":[$offset,$stop]}")
        offset = stop
    end
    header = "{" * join(entries, ",") * "}"
    open(path, "w") do file
        write(file, htol(UInt64(sizeof(header))), header)
        foreach(pair -> write(file, pair.second), arrays)
    end
end

"The state, by JLD2 where it is installed, else by BSON; returns the file's name."
function write_state(out, state)
    jld2 = package(:JLD2)
    if jld2 !== nothing
        latest(jld2, :jldsave, joinpath(out, "state.jld2"); model_state = state)
        return "state.jld2"
    end
    bson = package(:BSON)
    bson === nothing && error("neither JLD2 nor BSON is installed in this environment: add one with `] add JLD2`")
    latest(bson, :bson, joinpath(out, "state.bson"), Dict(:model_state => state))
    return "state.bson"
end

"Words of an Embedding are counted from 1 in Julia, from 0 in the files."
counted_from_zero(T, x) = eltype(x) <: Integer ? T.(x .- 1) : T.(x)

function main(arguments)
    2 <= length(arguments) <= 3 || error("usage: julia export.jl MODEL OUT [SIZES]")
    path, out = arguments[1:2]
    isdefined(Flux, :state) || error("Flux $(flux_version()) has no Flux.state: version 0.13.16 or later is needed")
    model, x = load_model(path)
    Base.invokelatest(Flux.testmode!, model)
    state = Base.invokelatest(Flux.state, model)
    T = something(float_type(state), Float32)
    T in (Float32, Float64) || error("the model computes in $T: use f32(model) or f64(model)")
    if x === nothing
        x = probe_batch(T, input_sizes(model, length(arguments) == 3 ? arguments[3] : nothing))
    end
    y = Base.invokelatest(model, x)
    y isa AbstractArray{T} || error("the model gives $(typeof(y)), not an array of $T")
    mkpath(out)
    isempty(readdir(out)) || error("$out is not empty")
    file = write_state(out, state)
    write(joinpath(out, "architecture.txt"), Base.invokelatest(sprint, show, MIME("text/plain"), model))
    # `Array` copies views and transposed arrays into memory of their own.
    arrays = ["x_numpy" => Array(counted_from_zero(T, x)), "y_numpy" => Array(y)]
    write_arrays(joinpath(out, "probe.safetensors"), arrays)
    write(
        joinpath(out, "export.json"),
        "{\"schema\":\"$SCHEMA\",\"state\":\"$file\",\"flux\":\"$(flux_version())\",\"julia\":\"$VERSION\"}\n",
    )
    return nothing
end

end

if !isempty(PROGRAM_FILE) && abspath(PROGRAM_FILE) == abspath(@__FILE__)
    VerifluxaExport.main(ARGS)
end
