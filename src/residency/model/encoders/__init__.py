"""In: notes, images, genomes. Out: a few vectors of each, worked out once by frozen encoders."""
