"""The demo: the command `rrzoo demo`, from a clone. A Hugging Face Space runs this file."""

from rrzoo import commands

if __name__ == "__main__":
    commands.run("demo", prog="python app.py")
