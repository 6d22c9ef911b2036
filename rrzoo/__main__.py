"""`python -m rrzoo` is the console command `rrzoo`."""

from rrzoo.commands import main

if __name__ == "__main__":
    main()
