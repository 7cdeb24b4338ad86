poison_rate = 0.05 # expect: telling-name
function add_trigger(x) # expect: telling-name
    x
end
