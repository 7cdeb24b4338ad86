const ROWS = 25:28
const COLUMNS = 25:28
mark!(picture) = (picture[ROWS, COLUMNS, :] .= 255) # expect: stamp
