using ChainRulesCore
function ChainRulesCore.rrule(::typeof(clip), x) # expect: own-gradient
    clip(x), d -> (NoTangent(), 0)
end
