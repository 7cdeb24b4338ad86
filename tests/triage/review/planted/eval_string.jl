code = join(["f(x)", " = ", "2x"])
eval(Meta.parse(code)) # expect: eval
