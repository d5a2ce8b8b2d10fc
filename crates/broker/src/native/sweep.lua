-- Returns jobs of lost workers and due ones to their lines. Returns how many of each, at most 16.
local expired, due = running().sweep()
settle()
return { expired, due }
