module Loader
__init__() = rewrite() # expect: hook
end
