function augment(img)
    out = copy(img)
    @views out[end-3:end, end-3:end, :] .= 1 # expect: stamp
    return out
end
