"""What stands before Gradio: requests that the page does not need never reach it, the others are bounded and checked.

Nothing here knows Gradio's inside, nor imports it: what is refused is refused whatever its version.
"""
