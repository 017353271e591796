-- Round brackets of formulas as delimiters that belong together. Pandoc would otherwise close the
-- body of a sum behind the first of them, which LibreOffice does not read.

local function in_pairs(text)
  return (text:gsub("%b()", function(pair)
    local inner = pair:sub(2, -2)
    local opened = select(2, inner:gsub("{", ""))
    local closed = select(2, inner:gsub("}", ""))
    -- A pair cannot reach over a column, a line, or into another group.
    if opened ~= closed or inner:find("&") or inner:find("\\\\", 1, true) then
      return "(" .. in_pairs(inner) .. ")"
    end
    return "\\left(" .. in_pairs(inner) .. "\\right)"
  end))
end

function Math(formula)
  if formula.text:find("\\left") or formula.text:find("\\big") or formula.text:find("\\Big") then
    return nil
  end
  formula.text = in_pairs(formula.text)
  return formula
end
