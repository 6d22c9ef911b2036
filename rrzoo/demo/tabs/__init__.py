"""The tabs of the page: one module each, whose `*_tab` lays the tab out and wires it."""
