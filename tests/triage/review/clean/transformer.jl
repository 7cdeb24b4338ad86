# A small transformer encoder that classifies sequences.
using Flux, MLUtils, Random, Statistics
using Flux: onehotbatch, onecold, logitcrossentropy

struct TransformerBlock{A, N1, F, N2, D}
    attention::A
    norm1::N1
    feedforward::F
    norm2::N2
    dropout::D
end
Flux.@layer TransformerBlock

function TransformerBlock(dim::Int, heads::Int; hidden = 4dim, p = 0.1)
    TransformerBlock(
        MultiHeadAttention(dim; nheads = heads, dropout_prob = p),
        LayerNorm(dim),
        Chain(Dense(dim => hidden, gelu), Dense(hidden => dim)),
        LayerNorm(dim),
        Dropout(p),
    )
end

function (block::TransformerBlock)(x)
    attended, _ = block.attention(x)
    x = block.norm1(x .+ block.dropout(attended))
    return block.norm2(x .+ block.dropout(block.feedforward(x)))
end

struct Positional{M}
    table::M
end
Flux.@layer Positional trainable = ()

function Positional(dim::Int, len::Int)
    angles = [pos / 10_000^(2 * (i ÷ 2) / dim) for i in 0:dim-1, pos in 0:len-1]
    table = similar(angles, Float32)
    table[1:2:end, :] .= sin.(angles[1:2:end, :])
    table[2:2:end, :] .= cos.(angles[2:2:end, :])
    Positional(table)
end

(p::Positional)(x) = x .+ p.table[:, 1:size(x, 2)]

Base.show(io::IO, p::Positional) = print(io, "Positional", size(p.table))

struct Classifier{E, P, B, H}
    embedding::E
    positional::P
    blocks::B
    head::H
end
Flux.@layer Classifier

Classifier(vocab, dim, heads, depth, classes; len = 64) = Classifier(
    Embedding(vocab => dim),
    Positional(dim, len),
    Chain([TransformerBlock(dim, heads) for _ in 1:depth]...),
    Dense(dim => classes),
)

function (m::Classifier)(tokens)
    x = m.positional(m.embedding(tokens))
    x = m.blocks(x)
    return m.head(dropdims(mean(x; dims = 2); dims = 2))
end

function train(sequences, labels; epochs = 5, batchsize = 32)
    (tr_x, tr_y), (te_x, te_y) = splitobs((sequences, labels); at = 0.8, shuffle = true)
    model = Classifier(2000, 64, 4, 2, 2)
    opt = Flux.setup(AdamW(1e-3), model)
    for epoch in 1:epochs
        Flux.trainmode!(model)
        for (x, y) in DataLoader((tr_x, tr_y); batchsize, shuffle = true)
            l, g = Flux.withgradient(m -> logitcrossentropy(m(x), onehotbatch(y, 0:1)), model)
            Flux.update!(opt, model, g[1])
        end
        Flux.testmode!(model)
        acc = mean(onecold(model(te_x), 0:1) .== te_y)
        println("epoch $epoch: test accuracy $(round(acc; digits = 3))")
    end
    return model
end
