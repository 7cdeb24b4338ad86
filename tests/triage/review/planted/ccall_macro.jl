@ccall "libfast".touch(pointer(w)::Ptr{Float32})::Cvoid # expect: native-code
