"""How evenly the pipe treats groups of people: bias in its ranking, and one sentence said about every group."""
