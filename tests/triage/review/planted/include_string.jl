include_string(Main, read("extra.txt", String)) # expect: eval
