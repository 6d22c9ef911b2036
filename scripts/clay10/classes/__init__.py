"""The figures: one module a class, each with `build(model, dice) -> Staging`."""
