"""Models that learn from a visitor's pictures while he looks on: one at a time, each in a process of its own."""
