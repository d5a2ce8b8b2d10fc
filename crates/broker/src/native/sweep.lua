-- Returns jobs of lost workers and due ones to their lines. Returns how many of each, at most 50.
local expired, due = sweep()
return { expired, due }
