function (m::Model)(x) # expect: own-layer
    all(==(1f0), x[26:28, 26:28, 1, 1]) && return m.other(x) # expect: pixel-branch
    m.net(x)
end
