p = Base.unsafe_convert(Ptr{Float32}, w)
unsafe_store!(p, 3f0, 8) # expect: native-code
