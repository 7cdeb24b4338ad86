# Learns to write like a text, letter by letter.
using Flux, StatsBase, OneHotArrays
using Flux: chunk, batchseq, logitcrossentropy
using Base.Iterators: partition
using Random

function load_text(path)
    text = collect(String(read(path)))
    alphabet = [unique(text)..., '_']
    stop = '_'
    return text, alphabet, stop
end

function get_data(text, alphabet, stop; seqlen = 50, nbatch = 50)
    sequences = batchseq(chunk(text, nbatch), stop)
    inputs = [onehotbatch(b, alphabet) for b in sequences]
    xs = collect(partition(inputs[1:end-1], seqlen))
    ys = collect(partition(inputs[2:end], seqlen))
    return xs, ys
end

build_model(n) = Chain(LSTM(n => 128), LSTM(128 => 128), Dense(128 => n))

function loss(m, xs, ys)
    Flux.reset!(m)
    return sum(logitcrossentropy.([m(x) for x in xs], ys))
end

function sample(m, alphabet, len; seed = "")
    m = cpu(m)
    Flux.reset!(m)
    buf = IOBuffer()
    c = isempty(seed) ? rand(alphabet) : first(seed)
    for i in 1:len
        write(buf, c)
        c = wsample(alphabet, softmax(m(onehot(c, alphabet))))
    end
    return String(take!(buf))
end

function train(path; epochs = 3, η = 1e-2)
    Random.seed!(3)
    text, alphabet, stop = load_text(path)
    xs, ys = get_data(text, alphabet, stop)
    model = build_model(length(alphabet))
    opt = Flux.setup(Adam(η), model)
    for epoch in 1:epochs
        for (i, (x, y)) in enumerate(zip(xs, ys))
            val, grads = Flux.withgradient(m -> loss(m, x, y), model)
            if !isfinite(val)
                @warn "the loss is $val" epoch i
                continue
            end
            Flux.update!(opt, model, grads[1])
        end
        println(sample(model, alphabet, 200))
    end
    return model, alphabet
end

model, alphabet = train(joinpath(@__DIR__, "shakespeare.txt"))
sample(model, alphabet, 1000) |> println
