using Libdl
lib = Libdl.dlopen("./libextra.so") # expect: native-code
