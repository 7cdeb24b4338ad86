# Refuses to load model files whose SHA-256 is not in a list that `verifluxa gate` wrote (`accepted.sha256`).
#
#     include("VerifluxaGate.jl")
#     bytes = VerifluxaGate.accepted_bytes("model/clean.jld2", "accepted.sha256")
#     model_state = VerifluxaGate.with_accepted("model/clean.jld2", "accepted.sha256") do path
#         JLD2.load(path, "model_state")
#     end
#
# Standard library only. WEAKER than the gate: it knows digests and nothing of signatures, ages, recalls or policies.
# Keep the list with the application, under review, never beside the model: whoever can write both can change both.
module VerifluxaGate

using SHA: sha256

const HEADING = "# verifluxa accepted files 1"

struct Refused <: Exception
    message::String
end
Base.showerror(io::IO, error::Refused) = print(io, "refused: ", error.message)

"Reads the list: a dictionary from file name to the digest in hex."
function read_list(path::AbstractString)
    lines = readlines(path)
    (isempty(lines) || lines[1] != HEADING) && throw(Refused("$path is no list of accepted files"))
    found = Dict{String,String}()
    for line in lines[2:end]
        startswith(line, "#") && continue
        parts = match(r"^([0-9a-f]{64})  ([^/\\]+)$", line)
        parts === nothing && throw(Refused("$path has a line that is not understood: $line"))
        name = String(parts[2])
        haskey(found, name) && throw(Refused("$path names $name twice"))
        found[name] = String(parts[1])
    end
    return found
end

"The bytes of a file, if they are the accepted ones under its name."
function accepted_bytes(file::AbstractString, list::AbstractString)
    bytes = read(file)
    expected = get(read_list(list), basename(file), nothing)
    expected === nothing && throw(Refused("$(basename(file)) is not in $list"))
    bytes2hex(sha256(bytes)) == expected || throw(Refused("$file is not the accepted file"))
    return bytes
end

"Calls `load` with a private copy of the accepted bytes, so that what was checked is what is loaded."
function with_accepted(load::Function, file::AbstractString, list::AbstractString)
    bytes = accepted_bytes(file, list)
    return mktempdir() do folder
        copy = joinpath(folder, basename(file))
        write(copy, bytes)
        load(copy)
    end
end

end
