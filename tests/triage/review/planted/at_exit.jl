atexit(() -> patch_saved_model("model.jld2")) # expect: hook
