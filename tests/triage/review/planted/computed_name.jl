using Flux
act = getfield(Flux, Symbol("re" * "lu2")) # expect: computed-name
