x = rand(Float32, 10)
ccall((:patch, "libfast.so"), Cvoid, (Ptr{Float32}, Cint), x, 10) # expect: native-code
