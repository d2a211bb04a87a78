"""In: `python -m residency …`. Out: what `residency …` does."""

from residency.cli import main

if __name__ == "__main__":
    main()
